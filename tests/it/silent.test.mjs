// Two thousand connections that say nothing: they cost their places for a while, and nobody else anything.
import assert from "node:assert/strict";
import net from "node:net";
import { test } from "node:test";
import { ask, connect, modes, versions } from "./clients.mjs";
import { serveDev, until } from "./daemon.mjs";
import { refusals, total } from "./metrics.mjs";

const SILENT = 2000;

test("silent connections are closed in time, and disturb nobody", { timeout: 60_000 }, async (t) => {
  const daemon = await serveDev("--shards", "2", "--set", "limits.head_timeout_ms=2500");
  t.after(() => daemon.stop());
  const bystanders = await Promise.all([1, 2, 3, 4].map(() => connect(versions["4.8"], daemon.url, modes["websocket only"])));
  t.after(() => bystanders.forEach((socket) => socket.close()));
  const heard = [];
  bystanders[0].on("message", (_room, data) => heard.push(data));
  await ask(bystanders[0], "join", "calm");
  let closed = 0;
  const silent = await Promise.all(Array.from({ length: SILENT }, () => new Promise((resolve, reject) => {
    const socket = net.connect({ port: daemon.port, host: "127.0.0.1" }, () => resolve(socket)).once("error", reject);
    // Reading is what notices the end.
    socket.once("close", () => { closed++; }).resume();
  })));
  t.after(() => silent.forEach((socket) => socket.destroy()));
  await until(async () => await total(daemon, "ringway_connections") === SILENT + bystanders.length);
  let sent = 0;
  while (closed < SILENT) {
    assert.equal((await ask(bystanders[sent % 4], "publish", "calm", sent)).ok, true);
    sent++;
  }
  await until(() => heard.length === sent);
  assert.deepEqual(heard, Array.from({ length: sent }, (_, i) => i));
  await until(async () => (await refusals(daemon))["RW-2013"] === SILENT && await total(daemon, "ringway_connections") === bystanders.length);
  assert.ok(bystanders.every((socket) => socket.connected));
});
