// NestJS 12 as an application has it: this folder's own install, in which the package lies as npm packs it, and the chat is compiled by this
// folder's own compiler against this folder's own types. Nothing in it is a link, so that each file finds its packages here.
//
// The package's source is compiled here, too, and is not used: what a compiler makes of it beside NestJS 12 must be what is shipped.
import { execFile } from "node:child_process";
import { createHash } from "node:crypto";
import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { root } from "../../it/daemon.mjs";
import { NAME, source, unpackInto } from "../packed.mjs";

export const folder = path.dirname(fileURLToPath(import.meta.url));
export const modules = path.join(folder, "node_modules");
export const compiler = path.join(modules, "typescript/bin/tsc");
const built = path.join(folder, "built");
const stamp = path.join(built, "inputs");
const example = path.join(root, "packages/examples/nest-chat");
/** The chat; the package's source; and the package that applications here find. */
export const chat = path.join(built, "chat");
export const sdk = path.join(built, "sdk");
export const shipped = path.join(modules, NAME);

const COPIES = [
  [example, chat, ["src", "public", "package.json", "tsconfig.json"]],
  [source, sdk, ["src", "package.json", "tsconfig.json", "tsconfig.cjs.json"]],
];

const filesOf = (place) => ["src", "public", "dist/esm", "dist/cjs"]
  .map((name) => path.join(place, name))
  .filter(existsSync)
  .flatMap((from) => readdirSync(from, { recursive: true, withFileTypes: true }))
  .filter((entry) => entry.isFile())
  .map((entry) => path.join(entry.parentPath ?? entry.path, entry.name))
  .sort();

/** Changes with whatever the tree is made of. */
function inputs() {
  const hash = createHash("sha256");
  const loose = ["package.json", "tsconfig.json", "tsconfig.cjs.json"].map((name) => path.join(source, name));
  const files = [path.join(folder, "package-lock.json"), fileURLToPath(import.meta.url), path.join(example, "tsconfig.json"), ...loose, ...filesOf(example), ...filesOf(source)];
  for (const file of files) hash.update(`${file}\0`).update(readFileSync(file)).update("\0");
  return hash.digest("hex");
}

/** Compiles a folder; what the compiler says is the error. */
export async function compile(place, ...args) {
  const call = [compiler, "-p", place, ...args];
  await promisify(execFile)(process.execPath, call, { cwd: folder }).catch((error) => {
    throw new Error(`tsc ${args.join(" ")} of ${place}:\n${error.stdout}${error.stderr}`);
  });
}

/** Makes the tree, unless it was made of the very same before. */
export async function build() {
  const wanted = inputs();
  const isThere = existsSync(shipped) && existsSync(stamp) && readFileSync(stamp, "utf8") === wanted;
  if (isThere) return;
  rmSync(built, { recursive: true, force: true });
  for (const [from, to, names] of COPIES) {
    mkdirSync(to, { recursive: true });
    for (const name of names) cpSync(path.join(from, name), path.join(to, name), { recursive: true });
  }
  unpackInto(modules);
  await Promise.all([compile(chat), compile(sdk), compile(path.join(sdk, "tsconfig.cjs.json"))]);
  writeFileSync(stamp, wanted);
}
