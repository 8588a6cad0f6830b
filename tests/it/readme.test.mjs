// README's fenced blocks are commands that a reader types: each one runs here, or says who else runs it.
import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync } from "node:fs";
import os from "node:os";
import path from "node:path";
import { test } from "node:test";
import { blocksOf } from "./blocks.mjs";
import { ask, connect, modes, versions } from "./clients.mjs";
import { freePort, root, serveDev, until } from "./daemon.mjs";

const binaries = path.dirname(process.env.RINGWAY_TEST_BINARY ?? path.join(root, "target/release/ringway"));
const blocks = blocksOf("README.md");

// How each block begins, and what checks it. A new block of README fails here until it has its line.
const checks = new Map([
  ["make run ", "runs here: make run"],
  ["import { io }", "runs here: the client and the operator"],
  ["curl -s -X POST", "runs here: the client and the operator"],
  ["head -c 32 /dev/urandom", "runs here: a daemon with a key"],
]);
const block = (begins) => blocks.find(({ text }) => text.startsWith(begins)).text;

/** Starts a process in a group of its own and collects what it prints. */
function start(command, args, options = {}) {
  const child = spawn(command, args, { detached: true, stdio: ["pipe", "pipe", "pipe"], ...options });
  const started = { child, out: "", all: "" };
  child.stdout.on("data", (chunk) => { started.out += chunk; started.all += chunk; });
  child.stderr.on("data", (chunk) => { started.all += chunk; });
  // Closed, not only ended: what the process started writes to the same pipes.
  started.ended = once(child, "close");
  started.stop = async (signal) => {
    if (child.exitCode === null && child.signalCode === null) process.kill(-child.pid, signal);
    return (await started.ended)[0];
  };
  started.until = (condition) => until(async () => {
    assert.equal(child.exitCode, null, started.all);
    return condition();
  });
  return started;
}

const isReady = (admin) => async () => (await fetch(`http://127.0.0.1:${admin}/ready`).catch(() => null))?.status === 200;

test("every block is one that is checked", () => {
  for (const { text } of blocks) assert.ok([...checks.keys()].some((begins) => text.startsWith(begins)), `nobody runs:\n${text}`);
  for (const begins of checks.keys()) assert.ok(blocks.some(({ text }) => text.startsWith(begins)), `README has no ${begins}`);
});

test("make run", { timeout: 120_000 }, async (t) => {
  // `make test` is what runs this, so the other command of the block needs no test of its own.
  assert.match(block("make run "), /^make run .*\nmake test .*\n$/);
  const [port, admin] = [await freePort(), await freePort()];
  const { MAKEFLAGS, MAKELEVEL, MFLAGS, ...environment } = process.env;
  const made = start("make", ["run", `ARGS=--listen 127.0.0.1:${port} --admin 127.0.0.1:${admin}`], { cwd: root, env: environment });
  t.after(() => made.stop("SIGKILL"));
  await made.until(isReady(admin));
  const page = await fetch(`http://127.0.0.1:${port}/`);
  assert.match(await page.text(), /<title>/);
  assert.match(await (await fetch(`http://127.0.0.1:${port}/socket.io/socket.io.js`)).text(), /Socket\.IO v4/);
  await made.stop("SIGTERM");
  assert.match(made.all, / drained/);
});

test("the client and the operator", { timeout: 30_000 }, async (t) => {
  const daemon = await serveDev("--shards", "2");
  t.after(() => daemon.stop());
  const local = (text) => text.replaceAll("http://127.0.0.1:7300", daemon.url).replaceAll("http://127.0.0.1:7301", daemon.admin);
  const client = start(process.execPath, ["--input-type=module"], { cwd: path.join(root, "tests/it") });
  t.after(() => client.stop("SIGKILL"));
  client.child.stdin.end(local(block("import { io }")));
  await client.until(() => client.out.includes("lobby 1 { name: 'script', text: 'hello' }"));
  const curl = spawnSync("bash", ["-euo", "pipefail", "-c", local(block("curl "))], { encoding: "utf8" });
  assert.equal(JSON.parse(curl.stdout).ok, true, curl.stderr);
  await client.until(() => client.out.includes("lobby 2 { name: 'operator', text: 'hello' }"));
  assert.equal(client.out.match(/ok: true/g).length, 2, client.out);
});

test("a daemon with a key", { timeout: 30_000 }, async (t) => {
  const folder = mkdtempSync(path.join(os.tmpdir(), "ringway-it-"));
  const [port, admin] = [await freePort(), await freePort()];
  // The block as it stands, but for where its files are; `exec` makes the daemon the process that the signal goes to.
  const commands = block("head -c 32").replaceAll("/etc/ringway", folder).replace(/^ringway serve/m, "exec ringway serve");
  const daemon = start("bash", ["-euo", "pipefail", "-c", commands], {
    env: {
      ...process.env,
      PATH: `${binaries}:${process.env.PATH}`,
      RINGWAY_LISTEN__ADDRESS: `127.0.0.1:${port}`,
      RINGWAY_ADMIN__ADDRESS: `127.0.0.1:${admin}`,
    },
  });
  t.after(() => daemon.stop("SIGKILL"));
  await daemon.until(isReady(admin));
  assert.match(daemon.out, /^ok +io_uring/m);
  const [token] = daemon.out.match(/^ey\S+$/m);
  const open = [];
  t.after(() => open.forEach((socket) => socket.close()));
  const socket = await connect(versions["4.8"], `http://127.0.0.1:${port}`, { ...modes["websocket only"], auth: { token } }, open);
  assert.equal((await ask(socket, "join", "order:7")).ok, true);
  assert.equal((await ask(socket, "publish", "order:7", 1)).ok, true);
  assert.equal((await ask(socket, "join", "lobby")).ok, false);
  assert.equal(await daemon.stop("SIGTERM"), 0, daemon.all);
});
