// Clients that do not keep up: their worker knows, may wait for them, and does not even send what is volatile.
import assert from "node:assert/strict";
import test from "node:test";
import { until } from "../it/daemon.mjs";
import { refusals, total } from "../it/metrics.mjs";
import { between } from "./between.mjs";
import { on } from "./stage.mjs";

const RATES = ["connection_events", "address_events", "address_connections"].flatMap((what) => ["--set", `limits.${what}_per_second=0`]);
const ARGS = ["--shards", "2", ...RATES];
/** The socket under a client's WebSocket. */
const wire = (socket) => socket.io.engine.transport.ws._socket;

test("an application that waits for `drain` says more to a slow client than any queue takes, and loses nothing", on({ args: ARGS }, async (stage) => {
  await stage.worker();
  const socket = await stage.connected();
  const other = await stage.connected();
  const count = 4_000;
  let waits;
  socket.emit("stream", count, "z".repeat(5_000), (value) => { waits = value; });
  // It stops reading thrice.
  for (const at of [50, 1_000, 2_000]) {
    await until(() => socket.told.length >= at);
    wire(socket).pause();
    for (let spoken = 0; spoken < 100; spoken += 1) assert.equal(await other.emitWithAck("echo", spoken), spoken);
    wire(socket).resume();
  }
  await until(() => waits !== undefined);
  assert.deepEqual(socket.told.map(([number]) => number), [...Array(count).keys()]);
  assert.ok(waits > 0 && waits < count, `${waits} waits`);
  assert.deepEqual([socket.disconnects, await refusals(stage.daemon)], [[], {}]);
}));

test("an application that waits for `drain` hears of it when the link is back, however often it is cut", on({ args: ARGS }, async (stage) => {
  const { cut, close } = await between(`${stage.folder}/between.sock`, `${stage.folder}/link.sock`);
  stage.link = `unix:${stage.folder}/between.sock`;
  await stage.worker();
  const sockets = [await stage.connected(), await stage.connected()];
  const count = 2_000;
  const streams = sockets.map((socket) => socket.emitWithAck("stream", count, "z".repeat(5_000)));
  for (const at of [50, 500, 1_000, 1_500]) {
    await until(() => sockets[0].told.length >= at);
    cut();
  }
  await Promise.all(streams);
  for (const { told, disconnects } of sockets) {
    assert.deepEqual(told.map(([number]) => number), [...Array(count).keys()]);
    assert.deepEqual(disconnects, []);
  }
  assert.ok(await total(stage.daemon, "ringway_links_resumed_total") > 0);
  close();
}));

test("a client that polls is told of as well", on({ args: ARGS }, async (stage) => {
  await stage.worker();
  const socket = await stage.connected({ transports: ["polling"] });
  const waits = await socket.emitWithAck("stream", 1_000, "z".repeat(20_000));
  assert.ok(waits > 0, `${waits} waits`);
  assert.deepEqual(socket.told.map(([number]) => number), [...Array(1_000).keys()]);
  assert.deepEqual(socket.disconnects, []);
}));

test("what is volatile for a slow client is not sent; when it reads again it is, also behind another worker", on({ args: ARGS }, async (stage) => {
  const worker = await stage.worker();
  const [socket, other] = [await stage.connected(), await stage.connected()];
  const sprays = () => worker.events.filter(({ event }) => event === "spray");
  // What its worker took it to be writable for was sent, and nothing else: it came, or the daemon dropped it before the worker knew.
  const accounted = async (...workers) => {
    let counts;
    const isEven = async () => {
      // Looked at each time: what a worker prints may come behind what its client hears.
      const sent = workers.flatMap(({ events }) => events).filter(({ event, writable }) => event === "spray" && writable).length;
      const heard = socket.told.filter(([what]) => typeof what === "number").length;
      counts = { sent, heard, dropped: await total(stage.daemon, "ringway_upstream_volatile_dropped_total") };
      return heard + counts.dropped === sent;
    };
    await until(isEven).catch((error) => assert.fail(`${error.message}: ${JSON.stringify(counts)}`));
  };
  socket.emit("spray", 0);
  await until(() => sprays().length === 1);
  assert.equal(sprays()[0].writable, true);
  wire(socket).pause();
  // Said by another, as this one is not heard: until its worker knows.
  const told = "y".repeat(50_000);
  let said = 0;
  await until(async () => {
    if (sprays().at(-1).writable) { other.emit("to", [socket.id], [], "news", told); said += 1; }
    socket.emit("spray", 1);
    await other.emitWithAck("echo", 1);
    return !sprays().at(-1).writable;
  });
  for (let number = 0; number < 100; number += 1) socket.emit("spray", 2);
  await until(() => sprays().filter(({ writable }) => !writable).length > 100);
  wire(socket).resume();
  await until(() => socket.told.filter(([what]) => what === "news").length === said);
  await until(async () => {
    socket.emit("spray", 3);
    await socket.emitWithAck("echo", 1);
    return socket.told.some(([what]) => what === 3);
  });
  assert.deepEqual(socket.told.filter(([what]) => what === 2), [], "they never came");
  await accounted(worker);
  await stage.kill(worker);
  const next = await stage.worker();
  await socket.emitWithAck("echo", 1);
  socket.emit("spray", 4);
  await until(() => next.events.some(({ event, writable }) => event === "spray" && writable));
  // Again at the end: had more than these come to the daemon, its count, which it says each now and then, would be beyond by now.
  await accounted(worker, next);
  assert.deepEqual([socket.disconnects, other.disconnects], [[], []]);
}));
