// Events, their values and their acknowledgements, and what stands between them and their handlers: one table, two sides.
import assert from "node:assert/strict";
import { event, until } from "../it/daemon.mjs";
import { alike, rejected, thrown } from "./both.mjs";

/** What is not the same on its way there as when it comes: JSON's affair, and the same on both sides. */
const VALUES = {
  "undefined": [undefined],
  "null": [null],
  "NaN, infinities, minus zero": [NaN, Infinity, -Infinity, -0],
  "holes, undefined in an array and as a member": [[, 1, undefined], { gone: undefined, kept: null }],
  "a Date": [new Date(86_400_000), { at: new Date(0) }],
  "a bigint that is a string, and numbers beyond it": ["9007199254740993", Number.MAX_SAFE_INTEGER, 1e300, 5e-324],
  "toJSON, Map, Set and a class": [{ toJSON: () => "mine" }, new Map([[1, 2]]), new Set([1]), new (class Point { x = 1; get y() { return 2; } })()],
  "unicode": ["é ü 漢字 🤷🏽‍♀️ \u2028\u2029 \0 \ud800 \u{10ffff}", { "ключ": ["ə"] }],
  "what looks like the protocol": ["2[\"x\"]", "451-[\"x\",{\"_placeholder\":true,\"num\":0}]", "/ns,1[", { _placeholder: false, num: 3 }],
  "a function inside a value": [{ call: () => 1, kept: 1 }],
  "empty ones": ["", [], {}, Buffer.alloc(0), [[]]],
  "bytes: Buffer, ArrayBuffer, views": [Buffer.from([1, 2]), new Uint8Array([3, 4]).buffer, new Uint16Array([5]), new DataView(new ArrayBuffer(2))],
  "bytes, nested, and the same ones twice": [(() => { const one = Buffer.from("é"); return { a: [one, { b: one }], c: Buffer.alloc(300, 7) }; })()],
  "fifty": [...Array(50).keys()],
  "ten attachments, as many as the parser takes": [1, ...Array.from({ length: 10 }, (_, number) => Buffer.of(number))],
};

const echoes = Object.fromEntries(Object.entries(VALUES).map(([name, values]) => [`values there and back: ${name}`, async (side) => {
  const { client, socket } = await side.meet();
  const came = event(socket, "values");
  const acknowledged = new Promise((resolve) => { client.emit("values", ...values, (...answer) => resolve(answer)); });
  const there = await came;
  const acknowledge = there.pop();
  acknowledge(...values);
  const back = event(client, "values");
  socket.emit("values", ...values);
  const all = event(client, "values to all");
  side.io.emit("values to all", ...values);
  return { there, acknowledged: await acknowledged, back: await back, all: await all };
}]));

alike("values", {}, {
  ...echoes,

  async "what cannot be sent is thrown where it is sent, and the connection goes on"(side) {
    const { client, socket } = await side.meet();
    const circle = {};
    circle.self = circle;
    const errors = [
      thrown(() => socket.emit("x", 1n)), thrown(() => side.io.emit("x", 1n)), thrown(() => socket.emit("x", circle))[0],
      ...["connect", "connect_error", "disconnect", "disconnecting", "newListener", "removeListener"].map((name) => thrown(() => socket.emit(name))),
      thrown(() => side.io.emit("connect")), thrown(() => side.io.to("x").emit("disconnect")),
    ];
    await side.mark();
    return { errors, heard: client.heard };
  },

  async "nine hundred kilobytes of text and of bytes, there and back"(side) {
    const { client, socket } = await side.meet();
    const large = { text: "é€x".repeat(150_000), bytes: Buffer.alloc(900_000, 0xab) };
    socket.on("large", (value, answer) => answer(value));
    for (const [name, value] of Object.entries(large)) {
      const back = await client.emitWithAck("large", value);
      assert.ok(name === "text" ? back === value : Buffer.compare(back, value) === 0, name);
    }
    return "all of it";
  },

  async "three megabytes from the server, by polling and by WebSocket"(side) {
    const value = "x".repeat(3_000_000);
    const lengths = [];
    for (const transports of [["polling"], ["websocket"]]) {
      const { client, socket } = await side.meet({ transports });
      socket.emit("large", value, Buffer.alloc(100_000));
      await until(() => client.heard.length === 1);
      lengths.push(client.heard[0][1].length, client.heard[0][2].length);
    }
    return lengths;
  },

  async "order: texts, bytes and broadcasts of one server come as they were said"(side) {
    const { client, socket } = await side.meet();
    for (let number = 0; number < 30; number += 1) {
      [() => socket.emit("n", number), () => socket.emit("n", Buffer.of(number)), () => side.io.emit("n", number)][number % 3]();
    }
    await side.mark();
    return client.heard;
  },
});

alike("acknowledgements", {}, {
  async "the client's: values, bytes, and only the first one counts"(side) {
    const { client, socket } = await side.meet();
    socket.on("many", (answer) => { answer(1, "two", { three: Buffer.of(3) }); answer("again"); });
    const answers = [];
    client.emit("many", (...values) => answers.push(values));
    await until(() => answers.length > 0);
    await side.mark();
    return answers;
  },

  async "the server's by callback, by promise, and with bytes"(side) {
    const { client, socket } = await side.meet();
    client.on("ask", (value, answer) => answer(value, Buffer.from(value)));
    const byCallback = await new Promise((resolve) => { socket.emit("ask", "a", (...values) => resolve(values)); });
    const withTimeout = await new Promise((resolve) => { socket.timeout(3_000).emit("ask", "b", (...values) => resolve(values)); });
    return [byCallback, withTimeout, await socket.emitWithAck("ask", "c"), await socket.timeout(3_000).emitWithAck("ask", "d")];
  },

  async "nobody answers in time: the error comes first, and a late answer changes nothing"(side) {
    const { client, socket } = await side.meet();
    let late;
    client.on("ask", (answer) => { late = answer; });
    const calls = [];
    const byCallback = new Promise((resolve) => { socket.timeout(30).emit("ask", (...values) => { calls.push(values); resolve(); }); });
    await byCallback;
    late("too late");
    const byPromise = await rejected(socket.timeout(30).emitWithAck("ask"));
    client.once("last", (answer) => answer());
    await socket.emitWithAck("last");
    return { calls: calls.map(([error, ...values]) => [error.message, values]), byPromise };
  },

  async "a client that went does not answer"(side) {
    const { client, socket } = await side.meet();
    client.on("ask", () => client.disconnect());
    return rejected(socket.timeout(100).emitWithAck("ask"));
  },

  async "volatile and compress with an acknowledgement"(side) {
    const { client, socket } = await side.meet();
    client.on("ask", (answer) => answer("here"));
    return [await socket.volatile.emitWithAck("ask"), await socket.compress(false).timeout(3_000).emitWithAck("ask")];
  },

  async "many at once, answered in another order"(side) {
    const { client, socket } = await side.meet();
    const waiting = [];
    client.on("ask", (number, answer) => { if (waiting.push(() => answer(number)) === 20) waiting.reverse().forEach((call) => call()); });
    return Promise.all([...Array(20).keys()].map((number) => socket.emitWithAck("ask", number)));
  },
});

alike("listeners", {}, {
  async "onAny, prependAny, offAny of a socket; listenersAny"(side) {
    const { client, socket } = await side.meet();
    const calls = [];
    const first = (...values) => calls.push(["any", ...values]);
    socket.onAny(first);
    socket.prependAny((...values) => calls.push(["before", ...values]));
    socket.on("one", (value) => calls.push(["one", value]));
    client.emit("one", 1);
    await until(() => calls.length === 3);
    client.emit("nobody listens", Buffer.of(1));
    await until(() => calls.length === 5);
    socket.offAny(first);
    client.emit("one", 2);
    await until(() => calls.length === 7);
    const counts = [socket.listenersAny().length];
    socket.offAny();
    counts.push(socket.listenersAny().length);
    return { calls, counts };
  },

  async "onAnyOutgoing hears emits, broadcasts and what has an acknowledgement; it may be taken off"(side) {
    const { client, socket } = await side.meet();
    const calls = [];
    const heard = (...values) => calls.push(["out", ...values.map((value) => (typeof value === "function" ? "function" : value))]);
    socket.onAnyOutgoing(heard);
    socket.prependAnyOutgoing((name) => calls.push(["before", name]));
    client.on("ask", (answer) => answer());
    socket.emit("one", 1);
    side.io.emit("all", Buffer.of(2));
    side.io.to(socket.id).emit("room", { three: 3 });
    side.io.except(socket.id).emit("others");
    await socket.emitWithAck("ask");
    socket.offAnyOutgoing(heard);
    socket.emit("two");
    socket.offAnyOutgoing();
    socket.emit("three");
    return { calls, count: socket.listenersAnyOutgoing().length };
  },

  async "once, off and removeAllListeners"(side) {
    const { client, socket } = await side.meet();
    const calls = [];
    const taken = () => calls.push("taken off");
    socket.once("event", () => calls.push("once"));
    socket.on("event", taken);
    socket.off("event", taken);
    socket.on("event", () => calls.push("on"));
    client.emit("event");
    client.emit("event");
    client.emit("event");
    socket.on("gone", () => calls.push("gone"));
    socket.removeAllListeners("gone");
    client.emit("gone");
    socket.on("end", (answer) => answer());
    await client.emitWithAck("end");
    return calls;
  },

  async "send and write are the event `message`, both ways and to all"(side) {
    const { client, socket } = await side.meet();
    const came = [];
    socket.on("message", (...values) => came.push(values));
    client.send("a", 1);
    await until(() => came.length === 1);
    socket.send("b");
    socket.write("c", 2);
    side.io.send("d");
    side.io.write("e");
    await side.mark();
    return { came, heard: client.heard };
  },

  async "what is said while the connection is made comes behind it, in order"(side) {
    side.io.use((socket, next) => { socket.emit("in the middleware"); next(); });
    side.io.on("connection", (socket) => { socket.emit("first", socket.connected); side.io.emit("second"); socket.emit("third"); });
    const { client } = await side.meet();
    await side.mark();
    return client.heard;
  },

  async "what is said to a socket that went goes nowhere"(side) {
    const { client, socket } = await side.meet();
    const gone = event(socket, "disconnect");
    client.disconnect();
    await gone;
    return [socket.connected, socket.disconnected, socket.emit("x"), [...socket.rooms], socket.join("room"), [...socket.rooms]];
  },

  async "a client that comes again by itself hears each event once, and what it said meanwhile is sent"(side) {
    const came = [];
    side.io.on("connect", (socket) => { socket.on("n", (number) => came.push(number)); socket.emit("welcome"); });
    const { client, socket } = await side.meet();
    client.emit("n", 1);
    await until(() => came.length === 1);
    const gone = event(socket, "disconnect");
    client.io.engine.close();
    const reason = await gone;
    client.emit("n", 2);
    client.connect();
    await side.met(client);
    client.emit("n", 3);
    await until(() => came.length === 3);
    await side.mark();
    return { came, heard: client.heard, reason: reason[0], recovered: client.recovered, sockets: side.io.sockets.sockets.size };
  },

  async "calls give what they should"(side) {
    const { client, socket } = await side.meet();
    const values = [
      socket.emit("x"), side.io.emit("x"), side.io.to("x").emit("x"), socket.broadcast.emit("x"), socket.volatile.emit("x"),
      socket.send("x") === socket, side.io.send("x") === side.io, socket.join("x"), socket.leave("x"), socket.connected, socket.recovered,
      socket.id === client.id, socket.nsp === side.io.sockets, socket.server === side.io, socket.client.conn === socket.conn,
    ];
    await side.mark();
    return values;
  },

  async "a volatile event behind another one of the same turn is dropped, with its attachments, and nothing else is"(side) {
    const { client, socket } = await side.meet();
    const turns = [
      () => { socket.emit("kept"); socket.volatile.emit("dropped"); },
      () => { socket.volatile.emit("first"); socket.volatile.emit("second"); },
      () => { socket.volatile.emit("bytes", Buffer.of(1)); socket.volatile.emit("more bytes", Buffer.of(2)); },
      () => { side.io.volatile.emit("all", Buffer.of(1)); side.io.volatile.emit("all, again", Buffer.of(2)); },
      () => { socket.emit("one"); socket.volatile.emit("dropped", Buffer.of(3)); socket.emit("two", Buffer.of(4)); },
    ];
    for (const turn of turns) {
      await side.mark();
      // Not in the turn of the mark, which may be on its way still.
      await new Promise(setImmediate);
      turn();
    }
    await side.mark();
    return client.heard;
  },

  async "volatile and compressed events come to a client that listens"(side) {
    const { client, socket } = await side.meet();
    socket.volatile.emit("volatile", 1);
    await side.mark();
    socket.compress(true).emit("compressed", "x".repeat(5_000));
    socket.compress(false).emit("not compressed", "x".repeat(5_000));
    side.io.compress(false).emit("all, not compressed");
    await side.mark();
    side.io.volatile.emit("all, volatile");
    await side.mark();
    return client.heard;
  },
});

alike("middlewares", {}, {
  async "of the server: in order, waited for, and they may join, emit and set data"(side) {
    const order = [];
    side.io.use(async (socket, next) => {
      order.push("first");
      socket.data.user = socket.handshake.auth.token;
      await socket.join("guests");
      setImmediate(next);
    });
    side.io.use((socket, next) => { order.push(["second", socket.connected, socket.data.user, [...socket.rooms]]); next(); });
    side.io.on("connection", (socket) => order.push(["connection", socket.data.user, socket.rooms.has("guests"), socket.rooms.size]));
    const { client, socket } = await side.meet({ auth: { token: "ann" } });
    side.io.to("guests").emit("for guests");
    await side.mark();
    return { order, heard: client.heard, data: socket.data };
  },

  async "a refusal is the client's connect_error with its data, and nobody is there"(side) {
    side.io.use((socket, next) => {
      const error = new Error("not you");
      error.data = { code: 17, why: ["é"] };
      next(error);
    });
    side.io.use(() => { throw new Error("never asked"); });
    let connections = 0;
    side.io.on("connection", () => { connections += 1; });
    const client = side.client();
    const [error] = await event(client, "connect_error");
    return { is: error instanceof Error, message: error.message, data: error.data, active: client.active, connected: client.connected, connections, sockets: side.io.sockets.sockets.size };
  },

  async "a refused client leaves no room behind that a middleware let it join"(side) {
    side.io.use((socket, next) => { socket.join("room"); next(new Error("no")); });
    await event(side.client(), "connect_error");
    return [side.io.sockets.adapter.rooms.size, side.io.sockets.adapter.sids.size];
  },

  async "a refused client tries again with other credentials"(side) {
    side.io.use((socket, next) => next(socket.handshake.auth.ok ? undefined : new Error("no")));
    const client = side.client({ auth: { ok: false } });
    await event(client, "connect_error");
    client.auth.ok = true;
    client.connect();
    const { socket } = await side.met(client);
    return [socket.handshake.auth, socket.connected, side.io.sockets.sockets.size];
  },

  async "a client that goes while a middleware thinks does not arrive"(side) {
    let goOn;
    const asked = new Promise((resolve) => side.io.use((socket, next) => { goOn = next; resolve(socket); }));
    let connections = 0;
    side.io.on("connection", () => { connections += 1; });
    const client = side.client();
    const socket = await asked;
    const closed = event(socket.conn, "close");
    client.io.engine.close();
    const [reason] = await closed;
    goOn();
    await new Promise((resolve) => { process.nextTick(() => setImmediate(resolve)); });
    return { reason, connections, sockets: side.io.sockets.sockets.size, rooms: side.io.sockets.adapter.rooms.size };
  },

  async "of a socket: in order, may change and keep back; an error is the event `error`"(side) {
    const { client, socket } = await side.meet();
    const calls = [];
    socket.use((packet, next) => { calls.push(["first", ...packet]); next(); });
    socket.use((packet, next) => {
      if (packet[0] === "forbidden") return next(Object.assign(new Error("no"), { data: 1 }));
      packet[1] = "changed";
      return setImmediate(next);
    });
    socket.on("error", (error) => calls.push(["error", error.message, error.data]));
    socket.onAny((...values) => calls.push(["any", ...values]));
    client.emit("forbidden", 1);
    await until(() => calls.length === 3);
    client.emit("allowed", 2);
    calls.push(["handler", ...await event(socket, "allowed")]);
    return { calls, connected: socket.connected };
  },

  async "socket.use does not see acknowledgements"(side) {
    const { client, socket } = await side.meet();
    const names = [];
    socket.use(([name], next) => { names.push(name); next(); });
    client.on("ask", (answer) => answer("here"));
    const answer = await socket.emitWithAck("ask");
    client.emit("end");
    await event(socket, "end");
    return { answer, names };
  },
});
