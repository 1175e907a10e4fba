// Makes what is committed below dist/: node build.js [FOLDER]
import { execFileSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const here = fileURLToPath(new URL(".", import.meta.url));
const folder = process.argv[2] ?? `${here}dist`;
await build({
  entryPoints: [`${here}src/index.ts`],
  outfile: `${folder}/video-feed.js`,
  bundle: true,
  format: "esm",
  minify: true,
  target: "es2022",
  logLevel: "warning",
});
const tsc = `${here}node_modules/typescript/bin/tsc`;
const declarations = ["--noEmit", "false", "--declaration", "--emitDeclarationOnly", "--outDir", `${folder}/types`];
execFileSync(process.execPath, [tsc, "-p", here, ...declarations], { stdio: "inherit" });
