// What does not carry over, each with what both sides do: `differences.test.mjs` runs them, and fails when one of them has become the same.
//
// `says` stands word for word in docs/upstream.md, "What does not carry over"; `why` is for whoever wants to change it.
import { EventEmitter } from "node:events";
import { request } from "node:http";
import { event, until } from "../it/daemon.mjs";
import { thrown } from "./both.mjs";

/** A server that the daemon may refuse: `ready`, or the error's names. */
async function served(side, options, prepare = () => {}) {
  const io = await side.serve(options, { prepare }).catch((error) => error);
  return io instanceof Error ? [io.name, io.code, io.capability] : "ready";
}

const REFUSED = (capability) => ["UnsupportedError", "RINGWAY_UNSUPPORTED", capability];

async function ended(side, transports, end) {
  const { client, socket } = await side.meet({ transports });
  const errors = [];
  socket.on("error", (error) => errors.push(error.message));
  const gone = event(socket, "disconnect");
  end(client, socket);
  const [reason] = await gone;
  await until(() => client.disconnects.length === 1);
  return { errors, reason, client: client.disconnects[0] };
}

/** A client that may come back to its socket, and how it leaves and returns. */
async function recoverable(side) {
  await side.serve({ connectionStateRecovery: { maxDisconnectionDuration: 60_000 } });
  const { client, socket } = await side.meet();
  socket.emit("hello");
  await until(() => client.heard.length === 1);
  let current = socket;
  const leave = async () => {
    const gone = event(current, "disconnect");
    client.io.engine.close();
    await gone;
    await until(() => !client.connected);
  };
  const back = async () => {
    const met = side.met(client);
    client.connect();
    current = (await met).socket;
    await side.mark();
    return current;
  };
  return { client, socket, leave, back };
}

/** A GET; node:http, as fetch has opinions of its own about headers. */
const get = (io, path, headers = {}) => new Promise((resolve, reject) => {
  request(`${io.url}${path}`, { headers }, (response) => {
    let body = "";
    response.setEncoding("utf8").on("data", (chunk) => { body += chunk; }).on("end", () => resolve({ status: response.statusCode, headers: response.headers, body }));
  }).on("error", reject).end();
});

const HELLO = "/socket.io/?EIO=4&transport=polling";

/** What a WebSocket is offered of what it asks for. */
const extensions = (io) => new Promise((resolve, reject) => {
  const headers = { Connection: "Upgrade", Upgrade: "websocket", "Sec-WebSocket-Version": "13", "Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA==", "Sec-WebSocket-Extensions": "permessage-deflate" };
  request(`${io.url}/socket.io/?EIO=4&transport=websocket`, { headers }, () => reject(new Error("no upgrade"))).on("upgrade", (response, socket) => {
    socket.destroy();
    resolve(response.headers["sec-websocket-extensions"]);
  }).on("error", reject).end();
});

export const DIFFERENCES = [
  {
    says: "middlewares of `io.engine` and its event `headers` see the request that opens a connection, and not each poll, unless `attachRingway` is told `rpc: \"every\"`",
    why: "each question costs a way over the link; headers about origins are repeated by the daemon",
    serves: false,
    async behaviour(side) {
      const seen = new Set();
      await side.serve({}, { prepare: ({ engine }) => engine.use((req, res, next) => { seen.add(req.method); next(); }) });
      const { client } = await side.meet({ transports: ["polling"] });
      await client.timeout(5_000).emitWithAck("none").catch(() => {});
      return [...seen].sort();
    },
    stock: ["GET", "POST"],
    ringway: ["GET"],
  },
  {
    says: "ids of `generateId` are the application's (`socket.conn.id`); the client is told the daemon's own",
    why: "the daemon's id says on which shard the session is",
    serves: false,
    async behaviour(side) {
      await side.serve({}, { prepare({ engine }) { engine.generateId = () => "mine"; } });
      const { client, socket } = await side.meet();
      return [socket.conn.id, client.io.engine.id === "mine"];
    },
    stock: ["mine", true],
    ringway: ["mine", false],
  },
  {
    says: "a socket is given back once: another client that says the same private id starts anew",
    why: "two clients would have one id",
    serves: false,
    async behaviour(side) {
      const { client, leave, back } = await recoverable(side);
      const auth = { pid: client._pid, offset: client._lastOffset };
      await leave();
      await back();
      return [client.recovered, (await side.meet({ auth })).socket.recovered];
    },
    stock: [true, true],
    ringway: [true, false],
  },
  {
    says: "`socket.data` of a client that comes back is what JSON keeps of it: a Date is a text, and a key with a BigInt or a cycle is missing (the warning `RINGWAY_DATA` names it)",
    why: "it waits in the daemon",
    serves: false,
    async behaviour(side) {
      const { socket, leave, back } = await recoverable(side);
      Object.assign(socket.data, { date: new Date(0), list: [1], big: 1n });
      await leave();
      const { data } = await back();
      return [data.date instanceof Date, JSON.stringify(data.list), Object.keys(data)];
    },
    stock: [true, "[1]", ["date", "list", "big"]],
    ringway: [false, "[1]", ["date", "list"]],
  },
  {
    says: "a client whose `socket.data` and rooms have more than 256 KiB as JSON starts anew when it comes back (the warning `RINGWAY_SESSION` says so)",
    why: "the daemon bounds what it keeps of a client that is away",
    serves: false,
    async behaviour(side) {
      const { client, socket, leave, back } = await recoverable(side);
      socket.data.much = "x".repeat(256 << 10);
      await leave();
      await back();
      return client.recovered;
    },
    stock: true,
    ringway: false,
  },
  {
    says: "`maxDisconnectionDuration` is an hour at most, and a client that missed more than its queue can take, some 1.5 MiB or 12,000 short packets, starts anew",
    why: "the daemon keeps for all namespaces what it keeps, and a client's queue has a bound",
    serves: false,
    async behaviour(side) {
      const { client, leave, back } = await recoverable(side);
      const recovered = [];
      // As many as it takes, and too many: bytes, and packets.
      for (const [count, bytes] of [[10, 100_000], [30, 100_000], [8_000, 1], [20_000, 1]]) {
        await leave();
        for (let number = 0; number < count; number += 1) side.io.emit("missed", "x".repeat(bytes));
        await back();
        recovered.push(client.recovered);
      }
      return recovered;
    },
    stock: [true, true, true, true],
    ringway: [true, false, true, false],
  },
  {
    says: "`onAnyOutgoing` does not hear the offset that recovery puts behind a packet's arguments",
    why: "the daemon puts it there",
    serves: false,
    async behaviour(side) {
      const { socket } = await recoverable(side);
      const heard = [];
      socket.onAnyOutgoing((...values) => heard.push(values.length));
      side.io.emit("told", 1);
      return heard;
    },
    stock: [3],
    ringway: [2],
  },
  {
    says: "`allowEIO3`, `httpCompression` and `perMessageDeflate` of the server change nothing: `websocket.deflate` of the daemon's configuration says it. `maxHttpBufferSize` cannot be more than its `engine.payload_bytes_max` (1,000,000 bytes unless the operator says more): a process that wants more than that warns of it (`RINGWAY_PAYLOAD_BYTES`)",
    why: "what is compressed and how large messages may be is memory of the daemon, which the operator bounds",
    serves: false,
    async behaviour(side) {
      const io = await side.serve({ maxHttpBufferSize: 5_000_000, httpCompression: true, perMessageDeflate: true });
      const { sid, maxPayload } = JSON.parse((await get(io, HELLO)).body.slice(1));
      const path = `${HELLO}&sid=${sid}`;
      io.on("connection", (socket) => socket.emit("long", "x".repeat(10_000)));
      await fetch(`${io.url}${path}`, { method: "POST", body: "40" });
      // The answer of CONNECT may come alone.
      let polled;
      do polled = await get(io, path, { "Accept-Encoding": "gzip" }); while (Number(polled.headers["content-length"] ?? polled.body.length) < 50 || polled.body.endsWith("}"));
      return [maxPayload, polled.headers["content-encoding"], await extensions(io)];
    },
    stock: [5_000_000, "gzip", "permessage-deflate"],
    ringway: [1_000_000, undefined, undefined],
  },
  {
    says: "a browser's page of another origin than the daemon's own is refused unless the server's `cors` allows it, by WebSocket, too, where stock's `cors` is only for polling. Where the operator lists `origins.allowed`, only these may come, whatever `cors` says",
    why: "the daemon checks Origin before anything else: a page that may not read must not write either",
    async behaviour(side) {
      const client = side.client({ extraHeaders: { Origin: "https://elsewhere.example" } });
      return Promise.race([event(client, "connect").then(() => "connected"), event(client, "connect_error").then(() => "refused")]);
    },
    stock: "connected",
    ringway: "refused",
  },
  {
    says: "with `cors: { origin: false }` pages of other origins are refused, where stock lets them in and leaves it to the browser. `preflightContinue` changes nothing: preflights are answered, and there is no handler behind that",
    why: "the daemon checks Origin, as above; and stock's engine refuses a preflight as a handshake that is no GET",
    serves: false,
    async behaviour(side) {
      const headers = { Origin: "https://elsewhere.example" };
      const none = await side.serve({ cors: { origin: false } });
      const { status } = await get(none, HELLO, headers);
      await none.close();
      const io = await side.serve({ cors: { origin: headers.Origin, preflightContinue: true } });
      const asked = await fetch(`${io.url}${HELLO}`, { method: "OPTIONS", headers: { ...headers, "Access-Control-Request-Method": "GET" } });
      return [status, asked.status];
    },
    stock: [200, 400],
    ringway: [403, 204],
  },
  {
    says: "clients of Socket.IO 2 (`EIO=3`) are refused",
    why: "the daemon speaks revision 4 of Engine.IO",
    serves: false,
    async behaviour(side) {
      const io = await side.serve({ allowEIO3: true });
      return (await get(io, "/socket.io/?EIO=3&transport=polling")).status;
    },
    stock: 200,
    ringway: 400,
  },
  {
    says: "`io.httpServer` is not there, nor `attach`, `handleRequest` and `handleUpgrade` of `io.engine`",
    why: "HTTP ends at the daemon",
    async behaviour({ io }) {
      return [typeof io.httpServer, typeof io.engine.attach, typeof io.engine.handleRequest, typeof io.engine.handleUpgrade];
    },
    stock: ["object", "function", "function", "function"],
    ringway: ["undefined", "undefined", "undefined", "undefined"],
  },
  {
    says: "`path: \"/\"` is as if nothing were said; `webtransport`, `io.engine.onWebTransportSession` and `wsEngine` are not there",
    why: "the root is where the daemon has its own pages and files; its sockets are its own",
    serves: false,
    async behaviour(side) {
      let made = 0;
      class WsEngine extends EventEmitter {
        constructor() { super(); made += 1; }
        close() {}
      }
      const io = await side.serve({ path: "/", transports: ["polling", "websocket", "webtransport"], wsEngine: WsEngine });
      const { status } = await get(io, "/?EIO=4&transport=polling");
      return [status, typeof io.engine.onWebTransportSession, made > 0];
    },
    stock: [200, "function", true],
    ringway: [404, "undefined", false],
  },
  {
    says: "`io.engine` tells of a `connection`, and counts it in `clientsCount`, when the client's first packet has come. `packet` and `packetCreate` of `socket.conn` are told of no pings and pongs",
    why: "who says nothing is no worker's affair; that clients are there is the daemon's to see",
    serves: false,
    async behaviour(side) {
      const io = await side.serve({ pingInterval: 300 });
      const connections = [];
      io.engine.on("connection", (connection) => connections.push(connection));
      await get(io, HELLO);
      const counts = [connections.length, io.engine.clientsCount];
      const { client, socket } = await side.meet();
      const types = new Set();
      for (const event of ["packet", "packetCreate"]) socket.conn.on(event, ({ type }) => types.add(type));
      let pings = 0;
      client.io.on("ping", () => { pings += 1; });
      await until(() => pings === 3);
      socket.emit("told");
      client.emit("told");
      await side.mark();
      return [counts, [...types].sort()];
    },
    stock: [[1, 1], ["message", "ping", "pong"]],
    ringway: [[0, 0], ["message"]],
  },
  {
    says: "the client's files (`/socket.io/socket.io.js`) are given to GET and HEAD, and are not compressed",
    why: "they go over the link as text, and a proxy in front compresses what it likes",
    async behaviour({ io }) {
      const path = `${io.url}/socket.io/socket.io.min.js`;
      const [given, posted] = [await fetch(path, { headers: { "Accept-Encoding": "gzip" } }), await fetch(path, { method: "POST" })];
      return [given.status, given.headers.get("content-encoding"), posted.status];
    },
    stock: [200, "gzip", 200],
    ringway: [200, null, 400],
  },
  {
    says: "`socket.conn.transport` has a name and says whether it is writable, and nothing of the raw socket; `socket.request` is a plain object with the client's method, URL, headers and address",
    why: "the raw socket is in another process",
    async behaviour(side) {
      const { socket } = await side.meet();
      const { conn, request: { constructor, socket: raw } } = socket;
      return [typeof conn.transport.socket, constructor.name, typeof raw.remotePort, typeof conn.transport.send];
    },
    stock: ["object", "IncomingMessage", "number", "function"],
    ringway: ["undefined", "VirtualRequest", "undefined", "undefined"],
  },
  {
    says: "the events `heartbeat` and `flush` of `socket.conn`, `flush` and `drain` of `io.engine` are not told",
    why: "pings and buffers are the daemon's",
    serves: false,
    async behaviour(side) {
      const told = new Set();
      const io = await side.serve({ pingInterval: 300 });
      for (const name of ["flush", "drain"]) io.engine.on(name, () => told.add(`engine ${name}`));
      const { client, socket } = await side.meet();
      for (const name of ["heartbeat", "flush"]) socket.conn.on(name, () => told.add(`connection ${name}`));
      // Behind the second ping the first one was answered.
      for (let pings = 0; pings < 2; pings += 1) await event(client.io.engine, "ping");
      await side.mark();
      return [...told].sort();
    },
    stock: ["connection flush", "connection heartbeat", "engine drain", "engine flush"],
    ringway: [],
  },
  {
    says: "a message beyond `engine.payload_bytes_max` ends the connection with `transport close`, and by polling with `parse error`, where stock says `transport error`",
    why: "the daemon says CLOSE 0 for it, as of any connection that it closes for what came over WebSocket; a POST may have more than one message, so that it is read before one of them is found to be too long",
    behaviour: async (side) => [
      await ended(side, ["websocket"], (client) => client.emit("large", "x".repeat(1_200_000))),
      await ended(side, ["polling"], (client) => client.emit("large", "x".repeat(1_200_000))),
    ],
    stock: [
      { errors: [], reason: "transport error", client: "transport close" },
      { errors: [], reason: "transport error", client: "transport close" },
    ],
    ringway: [
      { errors: [], reason: "transport close", client: "transport close" },
      { errors: [], reason: "parse error", client: "transport close" },
    ],
  },
  {
    says: "a polling client whose connection the server closes without waiting hears `transport close` where it heard `transport error`",
    why: "the daemon answers the poll that waits, where stock breaks it off",
    behaviour: (side) => ended(side, ["polling"], (client, socket) => socket.conn.close(true)),
    stock: { errors: [], reason: "forced close", client: "transport error" },
    ringway: { errors: [], reason: "forced close", client: "transport close" },
  },
  {
    says: "what a client says in one breath with its CONNECT, and without waiting for the answer, is heard, where stock closes the connection for it",
    why: "what comes in one chunk on the link may have come in two requests, of which stock would have heard the second one",
    async behaviour(side) {
      const heard = [];
      side.io.on("connection", (socket) => socket.onAny((name) => heard.push(name)));
      const path = `${HELLO}&sid=${JSON.parse((await get(side.io, HELLO)).body.slice(1)).sid}`;
      await fetch(`${side.io.url}${path}`, { method: "POST", body: '40\x1e42["early"]' });
      const { body } = await get(side.io, path);
      if (body.startsWith("40")) await until(() => heard.length === 1);
      return [heard, body.replace(/[{].*/, "")];
    },
    stock: [[], "6\x1e1"],
    ringway: [["early"], "40"],
  },
  {
    says: "a request with a byte above 0x7f in a header is refused",
    why: "the daemon takes header values as ASCII",
    behaviour: async ({ io }) => (await get(io, HELLO, { "X-Latin": "caf\u00e9" })).status,
    stock: 200,
    ringway: 400,
  },
  {
    says: "a volatile event for a client that is between two polls waits for the next one; only a client that has something waiting loses it",
    why: "the daemon drops for clients that are behind, and one that polls is not",
    async behaviour(side) {
      const { client, socket } = await side.meet({ transports: ["polling"] });
      // Within the event: the client has not polled again.
      client.once("now", () => socket.volatile.emit("perhaps"));
      socket.emit("now");
      await until(() => client.heard.length > 0);
      await side.mark();
      return client.heard.map(([name]) => name);
    },
    stock: ["now"],
    ringway: ["now", "perhaps"],
  },
  {
    says: "a socket that leaves the room of its own id is still reached by that id",
    why: "the room is implied by the socket, and said to nobody (docs/link.md)",
    async behaviour(side) {
      const { client, socket } = await side.meet();
      socket.leave(socket.id);
      side.io.to(socket.id).emit("told");
      await side.mark();
      return client.heard.length;
    },
    stock: 0,
    ringway: 1,
  },
  {
    says: "a socket that joins more than `limits.session_rooms_max` (256) rooms has them all in `socket.rooms`, and hears what is said to the first ones only: raise it if yours have more",
    why: "the daemon bounds the memory of a client, and has no frame to say that a JOIN was too much",
    async behaviour(side) {
      // Before it is connected, and behind that.
      const rooms = [...Array(1_000).keys()].map((number) => `room ${number}`);
      side.io.use((socket, next) => { socket.join(rooms.slice(0, 500)); next(); });
      const { client, socket } = await side.meet();
      socket.join(rooms);
      for (const number of [0, 200, 999]) side.io.to(`room ${number}`).emit("told", number);
      await side.mark();
      return [client.heard.map(([, number]) => number), socket.rooms.size];
    },
    stock: [[0, 200, 999], 1_001],
    ringway: [[0, 200], 1_001],
  },
  {
    says: "a room whose name is longer than 4 KiB stands, when a client comes back or is another worker's, in `socket.rooms` by its SHA-256; `to`, `leave` and the others find it by its name",
    why: "names on the link have a bound, and the daemon gives back what it was told",
    serves: false,
    async behaviour(side) {
      const long = "r".repeat(70_000);
      const { client, socket, leave, back } = await recoverable(side);
      socket.join(long);
      side.io.to(long).emit("told", 1);
      await leave();
      const again = await back();
      side.io.to(long).emit("told", 2);
      await side.mark();
      const found = (await side.io.in(long).fetchSockets()).length;
      const rooms = [...again.rooms].filter((room) => room !== again.id).map((room) => room.slice(0, 25));
      again.leave(long);
      side.io.to(long).emit("told", 3);
      await side.mark();
      return [rooms, client.heard.filter(([what]) => what === "told").map(([, number]) => number), found, again.rooms.size];
    },
    stock: [["r".repeat(25)], [1, 2], 1, 1],
    ringway: [["ringway.long-room.sha256."], [1, 2], 1, 1],
  },
  {
    says: 'a room that is a number is the daemon\'s room of that text: it stands in `socket.rooms` as a text when a client comes back or is another worker\'s, and 42 and `"42"` are one room to broadcasts; `to`, `leave` and the others find it by the number. So emitters, the operator\'s publishing and workers of earlier versions, which know names, reach it; whoever asks `socket.rooms.has(id)` behind a crash joins by `String(id)`',
    why: "emitters, the operator and workers of earlier versions know rooms by name, which is a text",
    serves: false,
    async behaviour(side) {
      const { client, socket, leave, back } = await recoverable(side);
      socket.join([42, 43]);
      side.io.to(42).emit("told", 1);
      side.io.to("42").emit("told", 2);
      await leave();
      const again = await back();
      side.io.to(42).emit("told", 3);
      await side.mark();
      const found = (await side.io.in(42).fetchSockets()).length;
      const rooms = [...again.rooms].filter((room) => room !== again.id);
      again.leave(42);
      side.io.in(43).socketsLeave(43);
      side.io.to([42, 43]).emit("told", 4);
      await side.mark();
      return [rooms, client.heard.filter(([what]) => what === "told").map(([, number]) => number), found, again.rooms.size];
    },
    stock: [[42, 43], [1, 3], 1, 1],
    ringway: [["42", "43"], [1, 2, 3], 1, 1],
  },
  {
    says: "`onAnyOutgoing` and `packetCreate` hear what their own worker sends, and not what another worker broadcasts to its client",
    why: "a broadcast is one frame to the daemon, and comes to no other worker",
    serves: false,
    async behaviour(side) {
      const [a, b] = await side.pair();
      const out = [];
      b.socket.onAnyOutgoing((name) => { if (name !== "mark") out.push(name); });
      a.io.emit("theirs");
      b.io.emit("mine");
      await side.mark(a.io);
      return out.sort();
    },
    stock: ["mine", "theirs"],
    ringway: ["mine"],
  },
  {
    says: "`io.close()` leaves the clients connected for the next worker, unless `onClose` is `close`",
    why: "that is what the daemon is for",
    serves: false,
    async behaviour(side) {
      const first = await side.serve({}, { onClose: "keep" });
      const { client } = await side.meet({ reconnection: true, reconnectionDelay: 1 });
      const { id } = client;
      await first.close();
      if (side.isStock) await until(() => client.disconnects.length === 1);
      else {
        const next = await side.serve();
        await until(() => next.sockets.sockets.has(id));
        await side.mark(next);
      }
      return [client.disconnects, client.id === id];
    },
    stock: [["transport close"], false],
    ringway: [[], true],
  },
  {
    says: "a middleware that refuses a client at its next worker, as its token has expired by then, disconnects it with `io server disconnect`, where stock's client loses its connection, reconnects by itself and hears `connect_error`. Let in whoever has `socket.recovered` (`connectionStateRecovery` with its `skipMiddlewares` does), or let clients call `connect()` with a new token when they hear that",
    why: "the client believes that it is connected, so that a CONNECT_ERROR would mean nothing to it; and its connection may have other namespaces",
    serves: false,
    async behaviour(side) {
      const reasons = [];
      const refusing = (io) => io.use((socket, next) => next(socket.recovered ? undefined : new Error("expired")));
      for (const accepts of [false, true]) {
        const first = await side.serve({}, { onClose: "keep" });
        const { client } = await side.meet({ io: first });
        await first.close();
        const next = await side.serve({}, { onClose: "keep", prepare: accepts ? refusing : (io) => io.use((_socket, go) => go(new Error("expired"))) });
        if (accepts && !side.isStock) await until(() => next.sockets.sockets.has(client.id));
        else await until(() => client.disconnects.length === 1);
        reasons.push([...client.disconnects]);
        client.disconnect();
        await next.close();
      }
      return reasons;
    },
    stock: [["transport close"], ["transport close"]],
    ringway: [["io server disconnect"], []],
  },
  {
    says: "A namespace's name has 1 KiB at most: a client that asks for one with a longer name is refused (`Invalid namespace`)",
    why: "each of a client's packets says it, and the daemon keeps it",
    async behaviour(side) {
      const { client } = await side.meet();
      const came = [];
      for (const length of [1_024, 70_000]) {
        const name = `/${"n".repeat(length)}`;
        side.io.of(name);
        const long = side.watch(client.io.socket(name));
        came.push(await Promise.race([event(long, "connect").then(() => "connected"), event(long, "connect_error").then(([error]) => error.message)]));
      }
      await side.mark();
      return [came, client.disconnects];
    },
    stock: [["connected", "connected"], []],
    ringway: [["Invalid namespace", "Invalid namespace"], []],
  },
  {
    says: "One part of a message, its text or an attachment, that is longer than 16 MiB is a `RangeError` of `emit`",
    why: "a frame of the link has a bound, and so has what a client may have before it",
    serves: false,
    async behaviour(side) {
      const io = await side.serve();
      try {
        io.emit("long", "x".repeat((16 << 20) + 1));
        return "said";
      } catch (error) {
        return error.name;
      }
    },
    stock: "said",
    ringway: "RangeError",
  },
  {
    says: "more than 65,535 rooms of one `to`, or `except`, are a `RangeError` of `emit`",
    why: "a list on the link has its length in front as u16",
    async behaviour(side) {
      const rooms = [...Array(0x1_0000).keys()].map(String);
      const said = (operator) => thrown(() => operator.emit("told"))[0];
      return [side.io.to(rooms.slice(1)), side.io.to(rooms), side.io.except(rooms)].map(said);
    },
    stock: ["n", "n", "n"],
    ringway: ["n", "RangeError", "RangeError"],
  },
];
