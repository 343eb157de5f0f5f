// One page and its assets. Addresses are relative to the page, so that a proxy may put a path in front of both.
import { createHash } from "node:crypto";
import { defineConfig } from "vite";

/** GraphiQL's fonts come inside its style sheets; as files they need no exception in the page's policy, and load when they are used. */
const fontFiles = {
  name: "font-files",
  generateBundle(_options, bundle) {
    for (const asset of Object.values(bundle)) {
      if (!asset.fileName.endsWith(".css")) continue;
      asset.source = asset.source.toString().replace(/url\(data:font\/(\w+);base64,([^)]+)\)/g, (_all, kind, text) => {
        const source = Buffer.from(text, "base64");
        const name = `font-${createHash("sha256").update(source).digest("hex").slice(0, 8)}.${kind}`;
        this.emitFile({ type: "asset", fileName: `assets/${name}`, source });
        return `url(./${name})`;
      });
    }
  },
};

/** The page is /graphiql and its assets are /graphiql/assets: seen from the page, graphiql/assets. */
const pageBesideFolder = {
  name: "page-beside-folder",
  enforce: "post",
  generateBundle(_options, bundle) {
    const page = bundle["index.html"];
    page.source = page.source.toString().replaceAll('"./assets/', '"graphiql/assets/');
  },
};

export default defineConfig({
  base: "./",
  plugins: [fontFiles, pageBesideFolder],
  build: {
    target: "es2022",
    assetsInlineLimit: 0,
    chunkSizeWarningLimit: 5000,
    license: { fileName: "licenses.md" },
    rolldownOptions: { onLog: (level, log, handle) => log.code === "MODULE_LEVEL_DIRECTIVE" || handle(level, log) },
  },
});
