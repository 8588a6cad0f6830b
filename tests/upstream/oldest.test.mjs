// The oldest socket.io that the package promises to run on: tests that the suite has for the newest one run on it, in a copy of them that finds the
// oldest packages and no others. Those that compare compare with a stock server of the same version.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { cpSync, mkdirSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { createRequire } from "node:module";
import path from "node:path";
import test, { before } from "node:test";
import { fileURLToPath } from "node:url";
import { binary, root } from "../it/daemon.mjs";
import { source } from "./packed.mjs";

const here = path.dirname(fileURLToPath(import.meta.url));
const folder = path.join(here, "oldest");
const copy = path.join(folder, "built");
const manifest = (place) => JSON.parse(readFileSync(path.join(place, "package.json"), "utf8"));
const OLDEST = manifest(folder).dependencies;

/** Rooms, broadcasts, acknowledgements, middlewares; and a worker that is killed, whose clients the next one resumes. */
const FILES = [
  { file: "api.test.mjs", passes_min: 40 },
  // Over two servers it compares with stock behind a cluster adapter, with which this version's servers do not find each other.
  { file: "rooms.test.mjs", passes_min: 20, environment: { UPSTREAM_SERVERS: "1" } },
  { file: "worker.test.mjs", pattern: "the worker is killed 2 times|what a worker had not dealt with", passes_min: 4, environment: { UPSTREAM_CRASHES: "2" } },
];

before(() => {
  rmSync(copy, { recursive: true, force: true });
  const take = (from, to, names) => {
    mkdirSync(to, { recursive: true });
    for (const name of names) cpSync(path.join(from, name), path.join(to, name), { recursive: true });
  };
  for (const tests of ["tests/it", "tests/upstream"]) {
    const from = path.join(root, tests);
    take(from, path.join(copy, tests), readdirSync(from).filter((name) => name.endsWith(".mjs")));
  }
  take(source, path.join(copy, "packages/realtime-sdk"), ["package.json", "dist/esm"]);
});

test("it is what the package promises, and the rest of the suite runs on the newest minor version", () => {
  const { peerDependencies } = manifest(source);
  for (const name of ["engine.io", "socket.io", "socket.io-adapter"]) assert.equal(peerDependencies[name], `^${OLDEST[name]}`, name);
  assert.match(manifest(here).dependencies["socket.io"], /^4\.8\./);
});

test("the copy finds it", () => {
  const find = createRequire(path.join(copy, "tests/upstream/application.mjs"));
  for (const name of ["engine.io", "socket.io", "socket.io-adapter", "socket.io-parser"]) {
    const place = path.join(folder, "node_modules", name);
    assert.equal(manifest(place).version, OLDEST[name]);
    assert.ok(find.resolve(name).startsWith(`${place}/`));
  }
});

for (const { file, pattern, passes_min, environment } of FILES) {
  test(`on socket.io ${OLDEST["socket.io"]}: ${file}${pattern ? `, ${pattern}` : ""}`, async () => {
    const named = pattern ? [`--test-name-pattern=${pattern}`] : [];
    const { text, status } = await run(["--test", "--test-reporter=tap", "--test-timeout=120000", ...named, path.join(copy, "tests/upstream", file)], environment);
    const count = (what) => Number(text.match(new RegExp(`^# ${what} (\\d+)$`, "m"))?.[1]);
    assert.deepEqual([status, count("fail"), count("cancelled")], [0, 0, 0], text);
    assert.ok(count("pass") >= passes_min, text);
  });
}

/** A run of Node's of its own, not a part of this one's. */
async function run(args, environment = {}) {
  const { NODE_TEST_CONTEXT: _ours, ...ambient } = process.env;
  const child = spawn(process.execPath, args, { env: { ...ambient, RINGWAY_TEST_BINARY: binary, ...environment }, stdio: ["ignore", "pipe", "pipe"] });
  let text = "";
  for (const stream of [child.stdout, child.stderr]) stream.on("data", (chunk) => { text += chunk; });
  const [status] = await once(child, "close");
  return { text, status };
}
