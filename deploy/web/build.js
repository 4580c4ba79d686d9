// Puts the page, the monitor's style and charts, and onnxruntime's two files into one folder, which any web server
// serves: node build.js [FOLDER [MODULES]], by default dist and node_modules.

import { cp, mkdir, readFile, rm, writeFile } from "node:fs/promises";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";

const here = dirname(fileURLToPath(import.meta.url));
const target = resolve(process.argv[2] ?? join(here, "dist"));
const live = join(here, "..", "..", "stdl_events", "live"), monitor = join(live, "monitor");
const runtime = join(resolve(process.argv[3] ?? join(here, "node_modules")), "onnxruntime-web");

// The names are ours: not every web server knows what a file of the suffix .mjs is.
const COPIES = [
  [join(monitor, "page.css"), "monitor.css"],
  [join(monitor, "charts.js"), "charts.js"],
  [join(monitor, "bars.js"), "bars.js"],
  [join(runtime, "dist", "ort.wasm.bundle.min.mjs"), "vendor/onnxruntime.js"],
  [join(runtime, "dist", "ort-wasm-simd-threaded.wasm"), "vendor/onnxruntime.wasm"],
];

const fail = (text) => {
  console.error(`build.js: ${text}`);
  process.exit(2);
};

// The operators of exported networks are listed once, in the package.
async function operators() {
  const found = /^_OPERATORS = """([^"]+)"""/m.exec(await readFile(join(live, "onnx_file.py"), "utf8"));
  if (!found) fail("got no list of operators in live/onnx_file.py; expected _OPERATORS; correct build.js");
  const names = found[1].split(/\s+/).filter(Boolean);
  return `// Made by build.js from live/onnx_file.py.\nexport const OPERATORS = new Set(${JSON.stringify(names)});\n`;
}

const { version, license } = await readFile(join(runtime, "package.json"), "utf8").then(JSON.parse, () => {
  fail(`got no ${runtime}; expected what package-lock.json lists; run npm ci first`);
});
await rm(join(target, "vendor"), { recursive: true, force: true });
await mkdir(join(target, "vendor"), { recursive: true });
await cp(join(here, "page"), target, { recursive: true });
await Promise.all(COPIES.map(([from, to]) => cp(from, join(target, to))));
await writeFile(join(target, "model", "operators.js"), await operators());
await writeFile(join(target, "vendor", "README.txt"), `onnxruntime-web ${version}, licence ${license}\n`);
console.log(`${target}: onnxruntime-web ${version}`);
