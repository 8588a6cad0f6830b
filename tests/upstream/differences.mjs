// What does not carry over, each with what both sides do: `differences.test.mjs` runs them, and fails when one of them has become the same.
//
// `says` stands word for word in docs/upstream.md, "What does not carry over"; `why` is for whoever wants to change it.
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

/** A GET; node:http, as fetch has opinions of its own about headers. */
const get = (io, path, headers = {}) => new Promise((resolve, reject) => {
  request(`${io.url}${path}`, { headers }, (response) => {
    let body = "";
    response.setEncoding("utf8").on("data", (chunk) => { body += chunk; }).on("end", () => resolve({ status: response.statusCode, headers: response.headers, body }));
  }).on("error", reject).end();
});

const HELLO = "/socket.io/?EIO=4&transport=polling";

export const DIFFERENCES = [
  {
    says: "`allowRequest`, `io.engine.use`, `generateId` and the events `headers` and `initial_headers` of `io.engine` are not asked yet: a server that has one is refused with an `UnsupportedError`, at once or when it joins",
    why: "the daemon sends no HS_REQ: WELCOME's caps lack `handshake`",
    serves: false,
    async behaviour(side) {
      return [
        await served(side, { allowRequest: (request_, decide) => decide(null, true) }),
        await served(side, {}, (io) => io.engine.use((request_, response, next) => next())),
        await served(side, {}, (io) => { io.engine.generateId = () => "mine"; }),
        await served(side, {}, (io) => io.engine.on("initial_headers", () => {})),
        [thrown(() => side.servers.at(-1).engine.use((request_, response, next) => next()))].flat()[0],
      ];
    },
    stock: ["ready", "ready", "ready", "ready", "nothing"],
    ringway: [REFUSED("handshake"), REFUSED("handshake"), REFUSED("handshake"), REFUSED("handshake"), "UnsupportedError"],
  },
  {
    says: "connection state recovery is off: a client that lost its connection starts anew. A server with `connectionStateRecovery` works otherwise, and is warned (`RINGWAY_NO_RECOVERY`)",
    why: "the daemon keeps no sessions and no log of broadcasts: WELCOME's caps lack `recovery`",
    serves: false,
    async behaviour(side) {
      const warnings = [];
      const warned = (warning) => { if (warning.name === "RingwayWarning") warnings.push(warning.code); };
      process.on("warning", warned);
      const io = await side.serve({ connectionStateRecovery: { maxDisconnectionDuration: 60_000 } });
      const { client, socket } = await side.meet();
      const { id } = socket;
      socket.join("room");
      io.to("room").emit("told", 1);
      socket.emit("told", 2);
      await side.mark();
      client.io.engine.close();
      await event(socket, "disconnect");
      client.connect();
      const again = await side.met(client);
      process.off("warning", warned);
      return { warnings, heard: client.heard.map(([, value]) => value), recovered: [client.recovered, again.socket.recovered], id: again.socket.id === id };
    },
    stock: { warnings: [], heard: [1, 2], recovered: [true, true], id: true },
    ringway: { warnings: ["RINGWAY_NO_RECOVERY"], heard: [1, 2], recovered: [false, false], id: false },
  },
  {
    says: "`cors`, `path`, `transports`, `allowUpgrades`, `allowEIO3`, `cookie`, `pingInterval`, `pingTimeout`, `upgradeTimeout`, `connectTimeout`, `maxHttpBufferSize`, `httpCompression` and `perMessageDeflate` of the server change nothing: `origins`, `engine.*` and `websocket.*` of the daemon's configuration say them. A `cors` with functions is warned of (`RINGWAY_NO_CORS`)",
    why: "the daemon passes over BIND: what is said to a client before any worker is there cannot wait for one",
    serves: false,
    async behaviour(side) {
      const io = await side.serve({ pingInterval: 1_234, maxHttpBufferSize: 5_678, cookie: true, cors: { origin: "https://a.example" } });
      const { headers, body } = await get(io, HELLO);
      const { pingInterval, maxPayload } = JSON.parse(body.slice(1));
      return [pingInterval, maxPayload, headers["set-cookie"] !== undefined, headers["access-control-allow-origin"]];
    },
    stock: [1_234, 5_678, true, "https://a.example"],
    ringway: [300, 1_000_000, false, undefined],
  },
  {
    says: "a browser's page of another origin than the daemon's own is refused unless `origins.allowed` has it, by WebSocket, too, where stock's `cors` is only for polling",
    why: "the daemon checks Origin before anything else: a page that may not read must not write either",
    async behaviour(side) {
      const client = side.client({ extraHeaders: { Origin: "https://elsewhere.example" } });
      return Promise.race([event(client, "connect").then(() => "connected"), event(client, "connect_error").then(() => "refused")]);
    },
    stock: "connected",
    ringway: "refused",
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
    says: "`io.httpServer` is not there, nor `attach`, `handleRequest` and `handleUpgrade` of `io.engine`; the client's files (`/socket.io/socket.io.js`) are served by your own server or not at all",
    why: "HTTP ends at the daemon",
    async behaviour({ io }) {
      const file = await get(io, "/socket.io/socket.io.js");
      return [typeof io.httpServer, typeof io.engine.attach, typeof io.engine.handleRequest, typeof io.engine.handleUpgrade, file.status];
    },
    stock: ["object", "function", "function", "function", 200],
    ringway: ["undefined", "undefined", "undefined", "undefined", 404],
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
    says: "`connection_error` is not told of requests that the daemon refuses; it counts them (`ringway_refusals_total`)",
    why: "the daemon sends no CONN_ERROR",
    async behaviour(side) {
      const told = [];
      side.io.engine.on("connection_error", ({ code, message }) => told.push([code, message]));
      await get(side.io, "/socket.io/?EIO=4&transport=pigeon");
      // Whoever comes behind it is heard of behind it.
      await side.meet();
      return told;
    },
    stock: [[0, "Transport unknown"]],
    ringway: [],
  },
  {
    says: "a packet that is no Socket.IO, or an attachment that none announced, ends the connection with `parse error` where stock says `forced close`, and without the event `error`",
    why: "the daemon reads each packet's beginning to know its namespace, and refuses it there",
    behaviour: async (side) => [
      await ended(side, ["websocket"], (client) => client.io.engine.write("nonsense")),
      await ended(side, ["polling"], (client) => client.io.engine.write(Buffer.of(1))),
    ],
    stock: [
      { errors: ["unknown packet type NaN"], reason: "forced close", client: "transport close" },
      { errors: ["got binary data when not reconstructing a packet"], reason: "forced close", client: "transport close" },
    ],
    ringway: [
      { errors: [], reason: "parse error", client: "transport close" },
      { errors: [], reason: "parse error", client: "transport close" },
    ],
  },
  {
    says: "a message beyond `engine.payload_bytes_max` ends the connection with `transport close` where stock says `transport error`, and a client that polls hears `transport error` where it heard `transport close`",
    why: "the daemon says CLOSE 0 for it, as of any connection that it closes for what came over HTTP or WebSocket, and breaks the POST off",
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
      { errors: [], reason: "transport close", client: "transport error" },
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
];
