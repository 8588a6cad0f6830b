// Socket.IO's documented behaviour, with sockets that the daemon owns: one application, every transport, several shards.
import assert from "node:assert/strict";
import test from "node:test";
import { until } from "../it/daemon.mjs";
import { on } from "./stage.mjs";

const SHARDS = ["--shards", "3"];
const TRANSPORTS = { websocket: ["websocket"], polling: ["polling"], upgrade: ["polling", "websocket"] };

for (const [name, transports] of Object.entries(TRANSPORTS)) {
  test(`${name}: connect, acknowledge, binary both ways, disconnect`, on({ args: SHARDS }, async (stage) => {
    const worker = await stage.worker();
    const socket = await stage.connected({ transports, auth: { who: "ann" } });
    if (name === "upgrade") await until(() => socket.io.engine.transport.name === "websocket");
    assert.deepEqual(await socket.emitWithAck("echo", { "ü": ["é", null, 1.5] }), { "ü": ["é", null, 1.5] });
    const who = await socket.emitWithAck("who");
    assert.deepEqual(who, { pid: worker.pid, data: { who: "ann" }, rooms: [socket.id, "lobby"].sort() });
    const answer = await new Promise((resolve) => { socket.emit("binary", Buffer.from([1, 2, 3]), (...values) => resolve(values)); });
    assert.deepEqual(answer, [Buffer.from([3, 2, 1]), { nested: [Buffer.from([1, 2, 3])] }]);
    socket.emit("sequence", 500);
    const numbers = [];
    await new Promise((resolve) => { socket.on("number", (number) => { numbers.push(number); if (number === 499) resolve(); }); });
    assert.deepEqual(numbers, [...Array(500).keys()]);
    socket.disconnect();
    const gone = await until(() => worker.events.find((event) => event.event === "disconnect"));
    assert.equal(gone.reason, "client namespace disconnect");
  }));
}

test("the handshake is the client's", on({ args: [...SHARDS, "--set", 'origins.allowed=["https://elsewhere.example"]'] }, async (stage) => {
  await stage.worker();
  const extraHeaders = { "X-Custom": "some", Origin: "https://elsewhere.example" };
  const socket = await stage.connected({ query: { room: "blue sky" }, extraHeaders });
  const handshake = await socket.emitWithAck("handshake");
  assert.equal(handshake.headers["x-custom"], "some");
  assert.equal(handshake.query.room, "blue sky");
  assert.equal(handshake.query.EIO, "4");
  assert.equal(handshake.address, "127.0.0.1");
  assert.equal(handshake.secure, false);
  assert.equal(handshake.xdomain, true);
  assert.match(handshake.url, /^\/socket\.io\/\?/);
  assert.equal(handshake.transport, "websocket");
}));

test("a middleware's refusal is the client's connect_error, with its data", on({}, async (stage) => {
  await stage.worker();
  const socket = stage.client({ auth: { refuse: "because" } });
  const error = await new Promise((resolve) => { socket.once("connect_error", resolve); });
  assert.equal(error.message, "not you");
  assert.deepEqual(error.data, { reason: "because" });
}));

test("namespaces, of one connection and by an expression", on({ args: SHARDS }, async (stage) => {
  await stage.worker();
  const first = await stage.connected({ forceNew: false });
  const admin = first.io.socket("/admin");
  const welcome = new Promise((resolve) => { admin.once("welcome", resolve); });
  assert.equal(await welcome, "/admin");
  assert.deepEqual(await admin.emitWithAck("echo", 1), ["admin", 1]);
  const shop = first.io.socket("/shop-17");
  const told = new Promise((resolve) => { shop.once("welcome", resolve); });
  assert.equal(await told, "/shop-17");
  const nowhere = first.io.socket("/nowhere");
  const refused = new Promise((resolve) => { nowhere.once("connect_error", resolve); });
  assert.equal((await refused).message, "Invalid namespace");
  assert.equal(await first.emitWithAck("echo", "still here"), "still here");
}));

test("rooms: to, except, broadcast, everybody; each once and in one order", on({ args: SHARDS }, async (stage) => {
  await stage.worker();
  const sockets = await Promise.all([...Array(12).keys()].map((number) => stage.connected({ transports: number % 4 ? ["websocket"] : ["polling"] })));
  await Promise.all(sockets.map((socket, number) => socket.emitWithAck("join", number % 2 ? "odd" : "even")));
  await sockets[1].emitWithAck("join", "even");
  sockets[0].emit("to", ["even", "odd"], [], "both");
  sockets[0].emit("to", "even", "odd", "even alone");
  sockets[0].emit("to", sockets[3].id, [], "you");
  sockets[0].emit("others", "not me");
  sockets[0].emit("everybody", "end", Buffer.from([7]));
  await Promise.all(sockets.map((socket) => until(() => socket.told.some(([what]) => what === "end"))));
  sockets.forEach((socket, number) => {
    const expected = [["both"]];
    if (number % 2 === 0) expected.push(["even alone"]);
    if (number === 3) expected.push(["you"]);
    if (number !== 0) expected.push(["not me"]);
    expected.push(["end", Buffer.from([7])]);
    assert.deepEqual(socket.told, expected, `client ${number}`);
  });
  assert.deepEqual(await sockets[2].emitWithAck("leave", "even"), [sockets[2].id, "lobby"].sort());
  sockets[0].emit("to", "even", [], "after");
  await until(() => sockets[4].told.at(-1)[0] === "after");
  await sockets[2].emitWithAck("echo", 1);
  assert.equal(sockets[2].told.at(-1)[0], "end");
}));

test("the server asks a client and gets its answer", on({}, async (stage) => {
  await stage.worker();
  const socket = await stage.connected();
  socket.on("question", (question, answer) => answer(question.toUpperCase()));
  assert.equal(await socket.emitWithAck("ask me", "why"), "WHY");
}));

test("the server disconnects: the namespace, and the connection", on({}, async (stage) => {
  const worker = await stage.worker();
  for (const close of [false, true]) {
    const socket = await stage.connected();
    const { id } = socket;
    socket.emit("leave me", close);
    await until(() => socket.disconnects.length > 0);
    assert.deepEqual(socket.disconnects, ["io server disconnect"]);
    const gone = await until(() => worker.events.find((event) => event.event === "disconnect" && event.id === id));
    assert.equal(gone.reason, "server namespace disconnect");
  }
}));

test("a client that vanishes is gone for the worker, too", on({}, async (stage) => {
  const worker = await stage.worker();
  const socket = await stage.connected();
  const { id } = socket;
  socket.io.engine.transport.ws._socket?.destroy() ?? socket.io.engine.transport.ws.terminate();
  const gone = await until(() => worker.events.find((event) => event.event === "disconnect" && event.id === id));
  assert.equal(gone.reason, "transport close");
}));

test("native namespaces stand beside those of the application", on({ args: ["--dev", "--set", 'namespaces.native=["/native"]'] }, async (stage) => {
  await stage.worker();
  const socket = await stage.connected({ forceNew: false });
  const native = socket.io.socket("/native");
  const connected = new Promise((resolve) => { native.once("connect", resolve); });
  await connected;
  assert.equal((await native.emitWithAck("join", "room")).ok, true);
  assert.equal(await socket.emitWithAck("echo", "both"), "both");
}));
