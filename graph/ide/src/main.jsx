// GraphiQL over the API beside it: `graphql` is next to the page, whatever path a proxy puts in front of both.
import { HISTORY_PLUGIN } from "@graphiql/plugin-history";
import { createGraphiQLFetcher } from "@graphiql/toolkit";
import { GraphiQL } from "graphiql";
import { createRoot } from "react-dom/client";

import "./workers.js";
import "./style.css";
import { EXAMPLES_PLUGIN, FIRST } from "./examples.jsx";

const fetcher = createGraphiQLFetcher({ url: new URL("graphql", document.baseURI).href });

// The browser keeps tabs, headers and history. Where it has none, or may not keep them, a first visit begins with examples.
function welcome() {
  try {
    if (localStorage.getItem("graphiql:tabState")) return {};
  } catch {}
  const wide = matchMedia("(min-width: 800px)").matches;
  return { initialQuery: FIRST.query, initialVariables: FIRST.variables, visiblePlugin: wide ? EXAMPLES_PLUGIN : undefined };
}

createRoot(document.getElementById("root")).render(
  <GraphiQL
    {...welcome()}
    fetcher={fetcher}
    plugins={[HISTORY_PLUGIN, EXAMPLES_PLUGIN]}
    defaultEditorToolsVisibility="variables"
    shouldPersistHeaders
  >
    <GraphiQL.Logo>vkg</GraphiQL.Logo>
  </GraphiQL>,
);
