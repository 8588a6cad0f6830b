// Workers that do not follow: memory stays bounded on both sides, and no client is cut off for it.
import assert from "node:assert/strict";
import net from "node:net";
import { once } from "node:events";
import test from "node:test";
import { Socket as Engine } from "engine.io-client";
import { event, until } from "../it/daemon.mjs";
import { refusals, total } from "../it/metrics.mjs";
import { BUFFERS_BYTES, growth, MIB, YOUNG_BYTES } from "./memory.mjs";
import { on } from "./stage.mjs";

const RATES = ["connection_events", "address_events", "address_connections"].flatMap((what) => ["--set", `limits.${what}_per_second=0`]);
const HEARTBEAT = ["--set", "engine.ping_interval_ms=1000", "--set", "engine.ping_timeout_ms=4000"];

test("a worker that stops reading: its clients are held, not timed out, and then answered in order", on({ args: ["--shards", "2", ...RATES, ...HEARTBEAT] }, async (stage, t) => {
  const worker = await stage.worker();
  const sockets = await Promise.all([...Array(20).keys()].map((who) => stage.connected({ auth: { who } })));
  const quiet = await stage.connected();
  const grew = { daemon: growth(stage.daemon.process.pid), worker: growth(worker.pid) };
  worker.child.kill("SIGSTOP");
  const text = "x".repeat(30_000);
  const answers = sockets.map((socket) => Promise.all([...Array(500).keys()].map((number) => socket.emitWithAck("echo", [number, text]))));
  // Should the test end before they come, its own reason counts.
  answers.forEach((all) => all.catch(() => {}));
  // A client that says nothing is pinged as ever; the others' pongs are not read.
  let pings = 0;
  quiet.io.engine.on("ping", () => { pings += 1; });
  await until(() => pings >= 7);
  // Each has 64 KiB on the way and as much in buffers, the link its window, in memory that grows by doubling.
  const ofDaemon = grew.daemon.most();
  assert.ok(ofDaemon < 20 * 128 * 1024 + 12 * MIB, `${ofDaemon} bytes at most, for 300 MB that nobody reads`);
  grew.daemon.end();
  assert.deepEqual(sockets.flatMap((socket) => socket.disconnects), []);
  worker.child.kill("SIGCONT");
  for (const all of await Promise.all(answers)) {
    assert.deepEqual(all.map(([number]) => number), [...Array(500).keys()]);
  }
  assert.deepEqual([...sockets, quiet].flatMap((socket) => socket.disconnects), []);
  assert.deepEqual(await refusals(stage.daemon), {});
  // All of it goes through the worker when it reads again; a window each way, as bytes and as text, is what it has of that at a time.
  const ofWorker = grew.worker.most();
  grew.worker.end();
  t.diagnostic(`of 300 MB the daemon had ${Math.round(ofDaemon / MIB)} MiB at most, the worker ${Math.round(ofWorker / MIB)}`);
  assert.ok(ofWorker < YOUNG_BYTES + BUFFERS_BYTES + 2 * 2 * 4 * MIB, `${ofWorker} bytes at most, for 300 MB each way`);
}));

test("clients that come, talk and go while their worker does not read cost it little", on({ args: ["--shards", "2", ...RATES] }, async (stage) => {
  const worker = await stage.worker();
  const witness = await stage.connected();
  worker.child.kill("SIGSTOP");
  const text = "y".repeat(100_000);
  const daemon = growth(stage.daemon.process.pid);
  for (let round = 0; round < 60; round += 1) {
    // They talk before they are answered, as no honest client does.
    await Promise.all([...Array(20).keys()].map(() => shout(stage, text)));
  }
  await until(async () => (await total(stage.daemon, "ringway_sessions")) <= 1);
  // 4 MiB of last words, the link's window, and what twenty have on the way.
  assert.ok(daemon.most() < 40 * MIB, `${daemon.most()} bytes at most, of 120 MB`);
  daemon.end();
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

const ROUNDS = 5;

test("a broadcast storm: who reads gets all of it in order, who does not is closed, and memory is bounded", on({ args: ["--shards", "2", ...RATES] }, async (stage, t) => {
  const worker = await stage.worker();
  const readers = await Promise.all([...Array(3).keys()].map(() => stage.connected()));
  const stalled = await deaf(stage);
  await until(async () => (await readers[0].emitWithAck("fetch", "lobby")).length === 4);
  const grew = { daemon: growth(stage.daemon.process.pid), worker: growth(worker.pid) };
  for (let round = 0; round < ROUNDS; round += 1) {
    readers.forEach((reader) => { reader.told = []; });
    readers[0].emit("storm", 20_000, "z".repeat(1_000));
    await until(() => readers.every((reader) => reader.told.length === 20_000 || reader.disconnects.length > 0));
    assert.deepEqual(readers.flatMap((reader) => reader.disconnects), []);
    readers.forEach((reader) => assert.deepEqual(reader.told.map(([number]) => number), [...Array(20_000).keys()]));
  }
  const [ofDaemon, ofWorker] = [grew.daemon.most(), grew.worker.most()];
  t.diagnostic(`of ${ROUNDS} times 20 MB the daemon had ${Math.round(ofDaemon / MIB)} MiB at most, the worker ${Math.round(ofWorker / MIB)}`);
  // 4 MiB of each client, the ring, what is read of the link; the worker's is one round and what its collector has not found yet.
  assert.ok(ofDaemon < 48 * MIB && ofWorker < 160 * MIB, JSON.stringify({ ofDaemon, ofWorker }));
  assert.deepEqual(await refusals(stage.daemon), { "RW-2401": 1 });
  stalled.destroy();
  Object.values(grew).forEach((it) => it.end());
}));

test("a storm beyond what may wait for the daemon: the newest broadcasts are dropped and said, and nobody is cut off", on({ args: ["--shards", "2", ...RATES] }, async (stage, t) => {
  const worker = await stage.worker(undefined, { QUEUE_BYTES_MAX: `${8 * MIB}` });
  const readers = await Promise.all([...Array(3).keys()].map(() => stage.connected()));
  const grew = { daemon: growth(stage.daemon.process.pid), worker: growth(worker.pid) };
  // A dozen times the bound.
  readers[0].emit("storm", 100_000, "z".repeat(1_000));
  const faults = () => worker.events.filter(({ event: name }) => name === "fault");
  await until(() => faults().length === 2);
  const dropped = Number(/(\d+) broadcasts were dropped/.exec(faults()[1].message)[1]);
  await until(() => readers.every((reader) => reader.told.length === 100_000 - dropped));
  t.diagnostic(`of 100 MB the daemon had ${Math.round(grew.daemon.most() / MIB)} MiB at most, the worker ${Math.round(grew.worker.most() / MIB)}; ${dropped} of 100,000 were dropped`);
  assert.deepEqual(faults().map(({ code }) => code), ["queue-full", "queue-full"]);
  assert.ok(dropped > 80_000 && dropped < 100_000, `${dropped}`);
  readers.forEach((reader) => assert.deepEqual(reader.told.map(([number]) => number), [...Array(100_000 - dropped).keys()]));
  assert.ok(grew.daemon.most() < 48 * MIB && grew.worker.most() < 80 * MIB);
  // What is about one client is as ever, and so are the next broadcasts.
  assert.equal(await readers[0].emitWithAck("echo", "here"), "here");
  readers[0].emit("everybody", "again");
  await Promise.all(readers.map((reader) => until(() => reader.told.at(-1)[0] === "again")));
  assert.deepEqual(readers.flatMap((reader) => reader.disconnects), []);
  assert.equal(await total(stage.daemon, "ringway_upstream_workers_lost_total"), 0);
  Object.values(grew).forEach((it) => it.end());
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
