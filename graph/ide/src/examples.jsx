// The panel "Examples": the operations of examples/operations, put into the bundle when it is built.
import { pick, useGraphiQL, useGraphiQLActions } from "@graphiql/react";
import { Kind, parse } from "graphql";

const FOLDER = "../../../examples/operations";
const queries = import.meta.glob("../../../examples/operations/*.graphql", { query: "?raw", import: "default", eager: true });
const variables = import.meta.glob("../../../examples/operations/*.json", { query: "?raw", import: "default", eager: true });

// In the order of their file names; the first line of each is its title.
const EXAMPLES = Object.entries(queries).map(([path, query]) => {
  const documentAST = parse(query);
  const operations = documentAST.definitions.filter(({ kind }) => kind === Kind.OPERATION_DEFINITION);
  return {
    name: path.slice(FOLDER.length + 1, -".graphql".length),
    title: query.slice(0, query.indexOf("\n")).replace(/^#\s*/, ""),
    query,
    variables: variables[path.replace(/graphql$/, "json")]?.trim() ?? "",
    facts: { documentAST, operations, operationName: operations[0].name.value },
  };
});

/** What a browser shows that was never here before. */
export const FIRST = EXAMPLES.find(({ name }) => name === "variant");

/** The list; a click opens an example in a tab of its own, or goes to the tab that has it. */
function Examples() {
  const { addTab, changeTab, setOperationFacts, updateActiveTabValues } = useGraphiQLActions();
  const { tabs, queryEditor, variableEditor } = useGraphiQL(pick("tabs", "queryEditor", "variableEditor"));

  const open = ({ query, variables, facts }) => {
    const index = tabs.findIndex((tab) => tab.query === query);
    if (index >= 0) {
      changeTab(index);
    } else {
      addTab();
      updateActiveTabValues({ query, variables, operationName: facts.operationName });
      queryEditor?.setValue(query);
      variableEditor?.setValue(variables);
    }
    setOperationFacts(facts); // which the editor finds out by itself, but too late for who runs it at once
  };

  return (
    <section aria-label="Examples" className="vkg-examples">
      <h2 className="graphiql-doc-explorer-title">Examples</h2>
      <p>Each asks one question, which the demo data answer.</p>
      <ul>
        {EXAMPLES.map((example) => (
          <li key={example.name}>
            <button type="button" className="graphiql-un-styled" onClick={() => open(example)}>
              {example.title}
            </button>
          </li>
        ))}
      </ul>
    </section>
  );
}

const Icon = () => (
  <svg viewBox="0 0 24 24" fill="none" stroke="currentColor" strokeWidth="1.5" strokeLinecap="round" aria-hidden="true" className="vkg-examples-icon">
    <path d="M9 5h11M9 12h11M9 19h11M4 5h.5M4 12h.5M4 19h.5" />
  </svg>
);

export const EXAMPLES_PLUGIN = { title: "Examples", icon: Icon, content: Examples };
