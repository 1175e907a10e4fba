// Makes a client from a document: node generate.js DOCUMENT FOLDER
import { createClient } from "@hey-api/openapi-ts";

const [document, folder] = process.argv.slice(2);
await createClient({
  input: document,
  logs: { level: "error", file: false },
  output: { path: folder, importFileExtension: ".js" },
  plugins: ["@hey-api/client-fetch", "@hey-api/typescript", "@hey-api/sdk"],
});
