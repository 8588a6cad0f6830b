// The operator's side: admin port, metrics, drain, tokens.
import assert from "node:assert/strict";
import { execFileSync, spawnSync } from "node:child_process";
import { mkdtempSync, writeFileSync } from "node:fs";
import os from "node:os";
import path from "node:path";
import { after, test } from "node:test";
import { ask, connect, modes, versions } from "./clients.mjs";
import { event, root, serve, serveDev } from "./daemon.mjs";

const binary = process.env.RINGWAY_TEST_BINARY ?? path.join(root, "target/release/ringway");
const io = versions["4.8"];
const open = [];
after(() => open.forEach((socket) => socket.close()));
const getJson = async (url) => (await fetch(url)).json();

test("the admin port tells who is here, and publishes", { timeout: 30_000 }, async (t) => {
  const daemon = await serveDev("--shards", "2");
  t.after(() => daemon.stop());
  const socket = await connect(io, daemon.url, modes["websocket only"], open);
  await ask(socket, "join", "news");
  assert.equal((await fetch(`${daemon.admin}/live`)).status, 200);
  assert.equal((await getJson(`${daemon.admin}/api/v1/connections`)).connections.length, 1);
  assert.deepEqual((await getJson(`${daemon.admin}/api/v1/rooms`)).rooms.map((room) => room.room), ["news"]);
  assert.equal((await getJson(`${daemon.admin}/api/v1/rooms/news`)).members, 1);
  const heard = event(socket, "message");
  const answer = await fetch(`${daemon.admin}/api/v1/publish`, {
    method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify({ room: "news", data: { hot: true } }),
  });
  assert.equal(answer.status, 200);
  assert.equal((await answer.json()).ok, true);
  assert.deepEqual((await heard).slice(0, 2), ["news", { hot: true }]);
  const metrics = await (await fetch(`${daemon.admin}/metrics`)).text();
  const checked = spawnSync("promtool", ["check", "metrics"], { input: metrics, encoding: "utf8" });
  assert.equal(checked.status, 0, checked.stderr + checked.stdout + metrics);
});

test("a log that goes into a file has no colours in it", { timeout: 30_000 }, async (t) => {
  const daemon = await serveDev("--shards", "1");
  t.after(() => daemon.stop());
  await daemon.stop();
  assert.match(daemon.log(), / INFO drained/);
  assert.ok(!daemon.log().includes("\u001b"), daemon.log());
});

test("SIGTERM closes clients so that they come back, and ends with 0", { timeout: 30_000 }, async () => {
  const daemon = await serveDev("--shards", "2", "--set", "drain.deadline_ms=2000");
  const websocket = await connect(io, daemon.url, modes["websocket only"], open);
  const polling = await connect(io, daemon.url, modes["polling only"], open);
  const reasons = [event(websocket, "disconnect"), event(polling, "disconnect")];
  const code = daemon.stop();
  for (const [reason] of await Promise.all(reasons)) {
    assert.ok(["transport close", "transport error"].includes(reason), `the client would not come back after "${reason}"`);
  }
  assert.equal(await code, 0, daemon.log());
});

test("tokens open namespaces and rooms, and nothing else does", { timeout: 30_000 }, async (t) => {
  const folder = mkdtempSync(path.join(os.tmpdir(), "ringway-it-"));
  const config = path.join(folder, "ringway.toml");
  writeFileSync(path.join(folder, "secret"), "a secret of at least thirty-two bytes!");
  writeFileSync(config, `[[auth.keys]]\nid = "k1"\nalgorithm = "HS256"\nfile = "${folder}/secret"\n`);
  const daemon = await serve(["--config", config, "--shards", "2"]);
  t.after(() => daemon.stop());
  const mint = (...args) => execFileSync(binary, ["token", "--config", config, ...args], { encoding: "utf8" }).trim();
  await assert.rejects(connect(io, daemon.url, modes["websocket only"], open), (error) => /^RW-21/.test(error.data.code));
  await assert.rejects(connect(io, daemon.url, { ...modes["polling only"], auth: { token: "x.y.z" } }, open), (error) => /^RW-21/.test(error.data.code));
  const token = mint("--subject", "anna", "--join", "order:*", "--publish", "order:7");
  const socket = await connect(io, daemon.url, { ...modes["websocket only"], auth: { token } }, open);
  assert.equal((await ask(socket, "join", "order:7")).ok, true);
  assert.equal((await ask(socket, "join", "other")).ok, false);
  assert.equal((await ask(socket, "publish", "order:7", 1)).ok, true);
  assert.equal((await ask(socket, "publish", "order:8", 1)).ok, false);
});

test("a token that expires while connected ends the connection; a refreshed one does not", { timeout: 30_000 }, async (t) => {
  const folder = mkdtempSync(path.join(os.tmpdir(), "ringway-it-"));
  const config = path.join(folder, "ringway.toml");
  writeFileSync(path.join(folder, "secret"), "a secret of at least thirty-two bytes!");
  writeFileSync(config, `[auth]\nleeway_seconds = 0\n[[auth.keys]]\nid = "k1"\nalgorithm = "HS256"\nfile = "${folder}/secret"\n`);
  const daemon = await serve(["--config", config]);
  t.after(() => daemon.stop());
  const mint = (seconds) => execFileSync(binary, ["token", "--config", config, "--subject", "anna", "--expires-in", seconds], { encoding: "utf8" }).trim();
  const short = await connect(io, daemon.url, { ...modes["websocket only"], auth: { token: mint("2") } }, open);
  const kept = await connect(io, daemon.url, { ...modes["websocket only"], auth: { token: mint("2") } }, open);
  assert.equal((await ask(kept, "refresh", mint("60"))).ok, true);
  const [reason] = await event(short, "disconnect");
  assert.equal(reason, "transport close");
  assert.equal((await ask(kept, "echo", 1)).ok, true);
});
