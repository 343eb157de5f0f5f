import type { CodegenConfig } from "@graphql-codegen/cli";

// The client preset: types of what the operations take and give, and the operations as typed strings.
const config: CodegenConfig = {
  schema: "../../schema.graphql",
  documents: "../operations/*.graphql",
  generates: {
    "src/generated/": {
      preset: "client",
      presetConfig: { fragmentMasking: false },
      config: {
        documentMode: "string", // plain text to send: nothing of GraphQL runs in the client
        enumType: "string-literal", // "HET" | "HOM_ALT" ...
        strictScalars: true, // a scalar that is not named here is an error, never any
        scalars: {
          BigInt: "../scalars.js#BigIntText",
          DateTime: "../scalars.js#Timestamp",
          JSON: "../scalars.js#Json",
        },
        arrayInputCoercion: false, // a list is given as a list
        immutableTypes: true,
        useTypeImports: true,
        importExtension: ".js",
      },
    },
  },
};

export default config;
