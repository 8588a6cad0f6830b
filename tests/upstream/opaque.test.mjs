// Applications with a parser of their own: the daemon carries what it cannot read, and all is as with stock socket.io.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import { before, describe, test } from "node:test";
import * as msgpack from "socket.io-msgpack-parser";
import { Server } from "socket.io";
import WebSocket from "ws";
import { attachRingway } from "../../packages/realtime-sdk/dist/esm/server.js";
import { event, until } from "../it/daemon.mjs";
import { total } from "../it/metrics.mjs";
import { alike, outcome, withDaemon } from "./both.mjs";
import * as halves from "./parsers/halves.mjs";
import * as json from "./parsers/json.mjs";
import { on, Stage } from "./stage.mjs";

const here = (name) => fileURLToPath(new URL(name, import.meta.url));

// All that the tables of other files say holds with it, too.
for (const file of ["api", "namespaces", "rooms", "peers", "recovery"]) {
  test(`msgpack: ${file}.test.mjs`, { timeout: 120_000 }, async () => {
    // Without what tells a test's own processes that they are part of another one.
    const { NODE_TEST_CONTEXT: _, ...environment } = process.env;
    const child = spawn(process.execPath, ["--test", here(`${file}.test.mjs`)], { env: { ...environment, UPSTREAM_PARSER: "msgpack" }, stdio: ["ignore", "pipe", "pipe"] });
    let told = "";
    for (const stream of [child.stdout, child.stderr]) stream.on("data", (chunk) => { told += chunk; });
    const [code] = await once(child, "exit");
    assert.equal(code, 0, told);
    assert.match(told, /pass [1-9]/);
  });
}

/** What every parser must carry. */
const CARRIED = {
  async "events, acknowledgements, rooms, namespaces, refusals"(side) {
    side.io.use((socket, next) => next(socket.handshake.auth.refuse ? Object.assign(new Error("not you"), { data: { why: 1 } }) : undefined));
    const admins = event(side.io.of("/admin"), "connection");
    const { client, socket } = await side.meet({ auth: { who: "é" } });
    socket.on("echo", (...values) => values.pop()(values));
    const answer = await client.emitWithAck("echo", 1, "é", { deep: [null] });
    client.on("ask", (value, reply) => reply([value]));
    const asked = await socket.timeout(2_000).emitWithAck("ask", "x");
    socket.join("room");
    side.io.to("room").emit("told", 1);
    side.io.except("room").emit("told", 2);
    side.io.local.emit("told", 3);
    const admin = side.watch(client.io.socket("/admin"));
    const [adminSocket] = await admins;
    adminSocket.emit("told", "admin");
    await until(() => admin.heard.length === 1);
    const refused = side.client({ auth: { refuse: true } });
    const error = await new Promise((resolve) => { refused.once("connect_error", resolve); });
    await side.mark();
    const heard = client.heard.filter(([name]) => name === "told");
    return { answer, asked, auth: socket.handshake.auth, heard, admin: admin.heard, error: [error.message, error.data] };
  },

  async "volatile packets are whole or not there"(side) {
    const { client, socket } = await side.meet();
    await side.mark();
    // Nothing waits: it goes, and all of it.
    socket.volatile.emit("kept", "idle", { with: "data" });
    await side.mark();
    for (let number = 0; number < 50; number += 1) {
      if (number % 10 === 0) socket.emit("kept", number, "é");
      socket.volatile.emit("told", number, { with: "data" });
      side.io.volatile.emit("to all", number);
    }
    await side.mark();
    // How many came is either side's affair; that the decoder never lost count is not.
    return client.heard.filter(([name]) => name === "kept").concat([client.disconnects, client.heard.every((values) => values.length > 1)]);
  },

  async "polling, and an end by either side"(side) {
    const { client, socket } = await side.meet({ transports: ["polling"] });
    socket.on("echo", (value, answer) => answer(value));
    const answer = await client.emitWithAck("echo", "é".repeat(3_000));
    const gone = event(socket, "disconnect");
    client.disconnect();
    const other = await side.meet();
    other.socket.disconnect();
    await until(() => other.client.disconnects.length === 1);
    return [answer.length, await gone, other.client.disconnects];
  },
};

for (const [name, parser] of Object.entries({ msgpack, "one text": json, "two binaries": halves })) {
  alike(`a parser of one's own: ${name}`, { options: { parser } }, CARRIED);
}

alike("msgpack: bytes", { options: { parser: msgpack } }, {
  async "both ways, in acknowledgements, to rooms, beside text"(side) {
    const { client, socket } = await side.meet();
    const other = await side.meet({ transports: ["polling"] });
    socket.on("echo", (value, answer) => answer(Buffer.from(value).reverse(), { deep: [value] }));
    const [reversed, nested] = await new Promise((resolve) => { client.emit("echo", Buffer.of(1, 2, 3), (...values) => resolve(values)); });
    side.io.emit("told", Buffer.of(4), "text", { deep: Uint8Array.of(5) });
    await side.mark();
    const plain = (value) => [...Buffer.from(value)];
    const heard = [client, other.client].map(({ heard: [[, first, text, { deep }]] }) => [plain(first), text, plain(deep)]);
    return { reversed: plain(reversed), nested: plain(nested.deep[0]), heard };
  },

  async "what is no packet ends its client and no other"(side) {
    const { client, socket } = await side.meet();
    const { client: other } = await side.meet();
    const gone = event(socket, "disconnect");
    client.io.engine.write("no packet");
    const [reason] = await gone;
    side.io.emit("told", 1);
    await side.mark(side.io, [other]);
    return { reason, heard: other.heard, other: other.disconnects };
  },
});

const SHARDS = ["--shards", "2"];

/** A stage whose application and clients have msgpack. */
const spoken = (options, body) => on(options, async (stage) => {
  stage.environment = { PARSER: "socket.io-msgpack-parser" };
  const client = stage.client.bind(stage);
  stage.client = (more, namespace) => client({ parser: msgpack, ...more }, namespace);
  await body(stage);
});

describe("msgpack: workers come and go", () => {
  test("clients that come before any worker are held until one is there", spoken({ args: SHARDS }, async (stage) => {
    const early = [stage.client(), stage.client({ transports: ["polling"] })];
    const answers = early.map((socket) => socket.emitWithAck("echo", Buffer.from("patience")));
    await until(async () => (await total(stage.daemon, "ringway_upstream_clients_waiting")) === 2);
    await stage.worker();
    for (const answer of answers) assert.equal((await answer).toString(), "patience");
    for (const socket of early) assert.deepEqual(socket.disconnects, []);
    // What came while nobody could say what it is was a packet, too.
    assert.equal(await total(stage.daemon, "ringway_packets_received_total"), 4);
  }));

  test("a worker is killed: no client sees a disconnect; ids, rooms and namespaces stay", spoken({ args: SHARDS }, async (stage) => {
    let worker = await stage.worker();
    const born = worker.pid;
    const sockets = await Promise.all([...Array(6).keys()].map((who) => stage.connected({ auth: { who, born: true }, transports: who % 3 ? ["websocket"] : ["polling"] })));
    const admins = sockets.slice(0, 3).map((socket) => socket.io.socket("/admin"));
    await Promise.all(admins.map((admin) => event(admin, "welcome")));
    await Promise.all(sockets.map((socket) => socket.emitWithAck("join", "room")));
    const ids = [...sockets, ...admins].map(({ id }) => id);
    const connects = [];
    [...sockets, ...admins].forEach((socket) => socket.on("connect", () => connects.push(socket.id)));
    for (let crash = 0; crash < 3; crash += 1) {
      await stage.kill(worker);
      await until(async () => (await total(stage.daemon, "ringway_upstream_clients_waiting")) === sockets.length);
      // What is said while there is nobody waits.
      const answers = sockets.map((socket, number) => socket.emitWithAck("echo", [number, Buffer.of(number)]));
      worker = await stage.worker();
      assert.deepEqual((await Promise.all(answers)).map(([number, bytes]) => [number, bytes[0]]), sockets.map((_, number) => [number, number]));
      const whos = await Promise.all(sockets.map((socket) => socket.emitWithAck("who")));
      assert.deepEqual(whos, sockets.map(({ id }, who) => ({ pid: worker.pid, data: { who, born }, rooms: [id, "lobby", "room"].sort() })));
      assert.deepEqual(await Promise.all(admins.map((admin) => admin.emitWithAck("echo", crash))), admins.map(() => ["admin", crash]));
      sockets[0].emit("to", ["room"], [sockets[1].id], crash, Buffer.of(crash));
      await until(() => sockets[0].told.length > crash && sockets[5].told.length > crash);
      assert.ok(worker.events.filter(({ event: name }) => name === "connection").every(({ recovered }) => recovered));
    }
    assert.deepEqual([...sockets, ...admins].map(({ id }) => id), ids);
    assert.deepEqual([connects, sockets.map(({ disconnects }) => disconnects).flat(), sockets[1].told], [[], [], []], "no connect twice, no disconnect, and one was left out");
  }));

  test("a CONNECT that the dead worker had not answered goes to the next one", spoken({ args: SHARDS }, async (stage) => {
    const worker = await stage.worker([], { HANGS: "1" });
    const sockets = [stage.client(), stage.client({ transports: ["polling"] })];
    await until(async () => (await total(stage.daemon, "ringway_packets_received_total")) === 2);
    await stage.kill(worker);
    await stage.worker();
    assert.deepEqual(await Promise.all(sockets.map((socket) => socket.emitWithAck("echo", 1))), [1, 1]);
    assert.deepEqual(sockets.map(({ disconnects }) => disconnects), [[], []]);
  }));

  test("one of two CONNECTs was answered when the worker died: nobody can say which, and the client comes again", spoken({ args: SHARDS }, async (stage) => {
    const worker = await stage.worker([], { ADMIN_HANGS: "1" });
    const socket = stage.client({ reconnectionDelay: 10 });
    const admin = socket.io.socket("/admin");
    await event(socket, "connect");
    await stage.kill(worker);
    const welcome = event(admin, "welcome");
    await stage.worker();
    await welcome;
    assert.deepEqual([await socket.emitWithAck("echo", 1), socket.disconnects], [1, ["transport close"]]);
  }));

  test("with link.redeliver the next worker hears what a stopped one had not", spoken({ args: [...SHARDS, "--set", "link.redeliver=true"] }, async (stage) => {
    const worker = await stage.worker();
    const socket = await stage.connected();
    worker.child.kill("SIGSTOP");
    const answers = [1, 2, 3].map((number) => socket.emitWithAck("binary", Buffer.of(number, 0)));
    await until(async () => (await total(stage.daemon, "ringway_packets_received_total")) >= 4);
    await stage.kill(worker);
    await stage.worker();
    // emitWithAck gives the first of what is answered.
    assert.deepEqual((await Promise.all(answers)).map((bytes) => [...bytes]), [[0, 1], [0, 2], [0, 3]]);
    assert.deepEqual(socket.disconnects, []);
  }));
});

describe("msgpack: a client that lost its connection, of several workers", () => {
  const at = withDaemon();
  const behaviour = (name, body) => test(name, { timeout: 30_000 }, () => outcome(at, { options: { parser: msgpack, connectionStateRecovery: {} }, serves: false }, body));
  const cut = async ({ client, socket }) => {
    const gone = event(socket, "disconnect");
    client.io.engine.close();
    await gone;
    await until(() => !client.connected);
  };
  const back = async (side, client) => {
    const met = side.met(client);
    client.connect();
    return met;
  };

  behaviour("comes back to its own, and hears what the others broadcast, in its place", async (side) => {
    const [a, b] = await side.pair();
    a.socket.join("room");
    b.io.emit("told", 1);
    await side.mark(b.io);
    await cut(a);
    a.io.to("room").emit("told", 2);
    // Fences keep one worker's words in order, and not those of two.
    await side.mark(a.io);
    b.io.to("room").emit("told", Buffer.of(3));
    await side.mark(b.io);
    const { socket } = await back(side, a.client);
    a.io.to("room").emit("told", 4);
    await side.mark(a.io, [a.client]);
    const values = a.client.heard.filter(([name]) => name === "told").map(([, value]) => (typeof value === "number" ? value : [...value]));
    assert.deepEqual([a.client.recovered, socket.recovered, values], [true, true, [1, 2, [3], 4]]);
  });

  behaviour("starts anew at another one", async (side) => {
    const [a, b] = await side.pair();
    a.io.emit("told", 1);
    await side.mark(a.io);
    // Who has fewest gets it: its own has more than the other one by then.
    await Promise.all([side.meet(), side.meet()]);
    b.client.disconnect();
    await until(() => b.io.engine.clientsCount === 1);
    await cut(a);
    while (a.io.engine.clientsCount <= b.io.engine.clientsCount) await side.meet();
    const other = await back(side, a.client);
    assert.deepEqual([other.io === b.io, other.socket.recovered, a.client.recovered], [true, false, false]);
  });
});

describe("who is late, who lies", () => {
  test("who comes into no namespace in time is closed, and who does is not", spoken({ args: ["--set", "engine.connect_timeout_ms=1000"] }, async (stage) => {
    await stage.worker();
    const socket = await stage.connected();
    const silent = new WebSocket(`${stage.daemon.url.replace("http", "ws")}/socket.io/?EIO=4&transport=websocket`);
    silent.addEventListener("message", ({ data }) => { if (data === "2") silent.send("3"); });
    await new Promise((resolve) => { silent.addEventListener("close", resolve); });
    assert.equal(await socket.emitWithAck("echo", 1), 1);
    assert.deepEqual(socket.disconnects, []);
  }));

  test("what no worker was there to read is held like any client's, and no longer", spoken({ args: ["--set", "link.hold_ms=300"] }, async (stage) => {
    const sockets = ["4garbage", Buffer.of(0xc1)].map((message) => {
      const socket = new WebSocket(`${stage.daemon.url.replace("http", "ws")}/socket.io/?EIO=4&transport=websocket`);
      socket.addEventListener("open", () => socket.send(message));
      return socket;
    });
    await Promise.all(sockets.map((socket) => new Promise((resolve) => { socket.addEventListener("close", resolve); })));
    // Shards say what they count five times a second.
    await until(async () => await total(stage.daemon, "ringway_upstream_clients_lost_total") === 2);
  }));

  test("a worker whose parser is another one waits until the others are gone", spoken({ args: SHARDS }, async (stage) => {
    const worker = await stage.worker();
    const socket = await stage.connected();
    const other = await stage.worker([], { PARSER: "socket.io-parser" });
    assert.equal(await socket.emitWithAck("echo", 1), 1, "both are opaque, so that the daemon cannot tell them apart");
    await stage.kill(other);
    const io = new Server();
    const faults = [];
    const ringway = attachRingway(io, { url: stage.link, resolveFrom: here("opaque.test.mjs"), bounds: { retry_ms_max: 100 } });
    ringway.prepareStop();
    ringway.on("fault", ({ code, message, remote }) => faults.push([code, message, remote]));
    await until(() => faults.length > 10);
    assert.deepEqual(faults[0], ["not-allowed", "not-allowed: the application's other workers have another parser", true]);
    assert.deepEqual(socket.disconnects, []);
    // One that is refused never opens.
    const opened = new Promise((resolve) => { ringway.once("open", resolve); });
    await stage.kill(worker);
    await opened;
    // What it says is carried while nothing is read, and read from then on.
    const plain = await stage.connected({ parser: undefined });
    const served = await io.fetchSockets();
    assert.ok(served.some(({ id }) => id === plain.id), "at once, although it was refused again and again");
    assert.equal(await total(stage.daemon, "ringway_upstream_circuits_opened_total"), 0);
    await ringway.close();
    const next = new Server();
    const again = attachRingway(next, { url: stage.link, resolveFrom: here("opaque.test.mjs") });
    next.on("connection", (one) => one.emit("told", one.recovered));
    await until(() => plain.told.length === 1);
    assert.deepEqual([plain.told, plain.disconnects], [[[true]], []]);
    await again.close();
  }));
});

describe("beside namespaces of the daemon's own", () => {
  const at = withDaemon(["--dev", "--set", 'namespaces.native=["/live"]']);
  let daemon;
  before(() => { ({ daemon } = at); });

  test("a parser of one's own is refused with an UnsupportedError", async () => {
    const io = new Server({ parser: msgpack });
    const ringway = attachRingway(io, { url: at.link, resolveFrom: here("opaque.test.mjs") });
    ringway.on("error", () => {});
    await assert.rejects(ringway.ready, { name: "UnsupportedError", capability: "opaque" });
    await until(async () => (await total(daemon, "ringway_upstream_workers")) === 0);
  });
});
