// Workers that do not follow: memory stays bounded on both sides, and no client is cut off for it.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import net from "node:net";
import { once } from "node:events";
import test from "node:test";
import { Socket as Engine } from "engine.io-client";
import { event, until } from "../it/daemon.mjs";
import { refusals, total } from "../it/metrics.mjs";
import { on } from "./stage.mjs";

const RATES = ["connection_events", "address_events", "address_connections"].flatMap((what) => ["--set", `limits.${what}_per_second=0`]);
const HEARTBEAT = ["--set", "engine.ping_interval_ms=700", "--set", "engine.ping_timeout_ms=2000"];
const MIB = 1 << 20;

/** Resident bytes of a process, without what it shares. */
function resident(pid) {
  const [, kilobytes] = /^RssAnon:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"));
  return Number(kilobytes) * 1024;
}

test("a worker that stops reading: its clients are held, not timed out, and then answered in order", on({ args: ["--shards", "2", ...RATES, ...HEARTBEAT] }, async (stage) => {
  const worker = await stage.worker();
  const sockets = await Promise.all([...Array(20).keys()].map((who) => stage.connected({ auth: { who } })));
  const quiet = await stage.connected();
  const before = resident(stage.daemon.process.pid);
  worker.child.kill("SIGSTOP");
  const text = "x".repeat(3_000);
  const answers = sockets.map((socket) => Promise.all([...Array(500).keys()].map((number) => socket.emitWithAck("echo", [number, text]))));
  // Should the test end before they come, its own reason counts.
  answers.forEach((all) => all.catch(() => {}));
  // A client that says nothing is pinged as ever; the others' pongs are not read.
  let pings = 0;
  quiet.io.engine.on("ping", () => { pings += 1; });
  await until(() => pings >= 8);
  const growth = resident(stage.daemon.process.pid) - before;
  // Each has 64 KiB on the way and as much in buffers, the link its window, in memory that grows by doubling.
  assert.ok(growth < 20 * 128 * 1024 + 12 * MIB, `${growth} bytes for 30 MB that nobody reads`);
  assert.deepEqual(sockets.flatMap((socket) => socket.disconnects), []);
  worker.child.kill("SIGCONT");
  for (const all of await Promise.all(answers)) {
    assert.deepEqual(all.map(([number]) => number), [...Array(500).keys()]);
  }
  assert.deepEqual([...sockets, quiet].flatMap((socket) => socket.disconnects), []);
  assert.deepEqual(await refusals(stage.daemon), {});
}));

test("clients that come, talk and go while their worker does not read cost it little", on({ args: ["--shards", "2", ...RATES] }, async (stage) => {
  const worker = await stage.worker();
  const witness = await stage.connected();
  worker.child.kill("SIGSTOP");
  const text = "y".repeat(100_000);
  let most = 0;
  for (let round = 0; round < 20; round += 1) {
    // They talk before they are answered, as no honest client does.
    await Promise.all([...Array(20).keys()].map(() => shout(stage, text)));
    most = Math.max(most, resident(stage.daemon.process.pid));
  }
  await until(async () => (await total(stage.daemon, "ringway_sessions")) <= 1);
  const kept = resident(stage.daemon.process.pid);
  assert.ok(most < 64 * MIB, `${most} bytes at most, ${kept} in the end, of 40 MB`);
  worker.child.kill("SIGCONT");
  assert.equal(await witness.emitWithAck("echo", "still here"), "still here");
  assert.deepEqual(witness.disconnects, []);
}));

/** A client that connects, says something long before it is answered, and is gone. */
async function shout(stage, text) {
  const engine = new Engine(stage.daemon.url, { path: "/socket.io/", transports: ["websocket"] });
  await event(engine, "open");
  const closed = event(engine, "close");
  engine.send("0");
  engine.send(`2["ignored","${text}"]`);
  engine.close();
  await closed;
}

test("a broadcast storm: who reads gets all of it in order, who does not is closed, and memory is bounded", on({ args: ["--shards", "2", ...RATES] }, async (stage) => {
  const worker = await stage.worker();
  const readers = await Promise.all([...Array(3).keys()].map(() => stage.connected()));
  const stalled = await deaf(stage);
  await until(async () => (await readers[0].emitWithAck("fetch", "lobby")).length === 4);
  const before = { daemon: resident(stage.daemon.process.pid), worker: resident(worker.pid) };
  readers[0].emit("storm", 20_000, "z".repeat(1_000));
  const all = () => readers.every((reader) => reader.told.length === 20_000 || reader.disconnects.length > 0);
  await until(all);
  assert.deepEqual(readers.flatMap((reader) => reader.disconnects), []);
  readers.forEach((reader) => assert.deepEqual(reader.told.map(([number]) => number), [...Array(20_000).keys()]));
  const growth = { daemon: resident(stage.daemon.process.pid) - before.daemon, worker: resident(worker.pid) - before.worker };
  assert.ok(growth.daemon < 64 * MIB && growth.worker < 128 * MIB, JSON.stringify(growth));
  assert.deepEqual(await refusals(stage.daemon), { "RW-2401": 1 });
  assert.deepEqual(readers.flatMap((reader) => reader.disconnects), []);
  stalled.destroy();
}));

/** A client in the lobby that never reads again. */
async function deaf(stage) {
  const socket = net.connect({ port: stage.daemon.port, host: "127.0.0.1" });
  socket.on("error", () => {});
  await once(socket, "connect");
  const lines = ["GET /socket.io/?EIO=4&transport=websocket HTTP/1.1", `Host: 127.0.0.1:${stage.daemon.port}`, "Connection: Upgrade", "Upgrade: websocket"];
  socket.write(`${[...lines, "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA=="].join("\r\n")}\r\n\r\n`);
  let said = "";
  socket.on("data", (bytes) => { said += bytes.toString("latin1"); });
  await until(() => said.includes('0{"sid"'));
  // "40", masked with nothing.
  socket.write(Buffer.from([0x81, 0x82, 0, 0, 0, 0, 0x34, 0x30]));
  await until(() => said.includes('40{"sid"'));
  socket.pause();
  return socket;
}
