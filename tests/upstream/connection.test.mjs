// A connection: its handshake, its transport, its request, and every way in which it ends.
import { request as ask } from "node:http";
import { PassThrough } from "node:stream";
import { Socket as EngineSocket } from "engine.io-client";
import { WebSocket } from "ws";
import { event, until } from "../it/daemon.mjs";
import { alike } from "./both.mjs";

const ORIGIN = "https://app.example";

/** What is the same of a handshake whoever serves it. */
function plain({ headers, time, issued, address, xdomain, secure, url, query, auth }) {
  const { host, ...named } = headers;
  const { t, ...asked } = query;
  return {
    headers: named, host: /^127\.0\.0\.1:\d+$/.test(host), time: Math.abs(Date.parse(time) - issued) < 2_000, recent: Math.abs(Date.now() - issued) < 20_000,
    address, xdomain, secure, path: url.split("?")[0], query: asked, auth, t: typeof t,
  };
}

/** `Sec-WebSocket-Key` is made up by each client. */
function withoutKey(handshake) {
  const { "sec-websocket-key": key, ...headers } = handshake.headers;
  return { ...handshake, headers, hasKey: key !== undefined };
}

alike("handshake", { options: { cors: { origin: ORIGIN, credentials: true } }, daemon: ["--set", `origins.allowed=["${ORIGIN}"]`] }, {
  async "by WebSocket: headers, query, credentials, address and times"(side) {
    const extraHeaders = { "X-Custom": "a, b", Cookie: "one=1; two=2", Origin: ORIGIN, Authorization: "Bearer x" };
    const { socket } = await side.meet({ query: { room: "blue sky", many: ["a", "b"], "ü": "é&=" }, auth: { token: "t", deep: { n: [1] } }, extraHeaders });
    return withoutKey(plain(socket.handshake));
  },

  async "by polling"(side) {
    const { socket } = await side.meet({ transports: ["polling"], extraHeaders: { "X-Custom": "some" }, query: { a: 1 } });
    return plain(socket.handshake);
  },

  async "by polling and then WebSocket: it is the first request's"(side) {
    const { client, socket } = await side.meet({ transports: ["polling", "websocket"], extraHeaders: { "X-Custom": "some" } });
    await until(() => client.io.engine.transport.name === "websocket");
    return plain(socket.handshake);
  },

  async "the request: what middlewares look at and add to"(side) {
    const cookies = (request, response, next) => {
      request.session = Object.fromEntries(request.headers.cookie.split("; ").map((pair) => pair.split("=")));
      next();
    };
    side.io.use((socket, next) => cookies(socket.request, {}, next));
    const { socket } = await side.meet({ extraHeaders: { Cookie: "user=ann; theme=dark" } });
    const { request } = socket;
    return {
      session: request.session, same: [request === socket.conn.request, request === socket.client.request], method: request.method, version: request.httpVersion,
      path: request.url.split("?")[0], query: request._query.EIO, addresses: [request.connection.remoteAddress, request.socket.remoteAddress, socket.conn.remoteAddress],
      raw: request.rawHeaders.includes("user=ann; theme=dark"),
    };
  },

  async "the request has come whole: who listens to it hears nothing more"(side) {
    const { socket: { request } } = await side.meet();
    const heard = [];
    const same = ["on", "once", "addListener"].map((name) => request[name]("data", () => heard.push(name)) === request);
    const sink = new PassThrough();
    const piped = request.pipe(sink) === sink;
    request.off("data", () => {}).removeAllListeners();
    return [request.complete, request.aborted, same, piped, heard];
  },

  async "the request may be let go to save memory"(side) {
    side.io.engine.on("connection", (connection) => { delete connection.request; });
    const { client, socket } = await side.meet({ query: { a: 1 } });
    socket.on("echo", (value, answer) => answer(value));
    const { headers, query, secure, xdomain, address } = socket.handshake;
    return [socket.conn.request, socket.request, headers, query, secure, xdomain, address, await client.emitWithAck("echo", 1)];
  },
});

alike("the engine", {}, {
  async "counts, and knows its connections"(side) {
    const seen = [];
    side.io.engine.on("connection", (connection) => seen.push(connection));
    const one = await side.meet();
    const two = await side.meet({ transports: ["polling"] });
    const { conn } = one.socket;
    const counts = [side.io.engine.clientsCount, Object.keys(side.io.engine.clients).length, side.io.engine.clients[conn.id] === conn];
    const gone = event(conn, "close");
    one.client.disconnect();
    await gone;
    return {
      counts, after: [side.io.engine.clientsCount, conn.id in side.io.engine.clients], seen: seen.map(({ id }) => [one, two].findIndex(({ socket }) => socket.conn.id === id)),
      ids: [two.client.io.engine.id === two.socket.conn.id, two.socket.id === two.socket.conn.id], protocol: conn.protocol, states: [conn.readyState, two.socket.conn.readyState],
    };
  },

  async "has the options and paths that it was given"(side) {
    const { pingInterval, pingTimeout, maxHttpBufferSize, transports, allowUpgrades, upgradeTimeout } = side.io.engine.opts;
    const paths = [side.io.engine.opts.path, (await side.serve({ path: "/chat/" })).engine.opts.path];
    return { paths, pingInterval, pingTimeout, maxHttpBufferSize, transports, allowUpgrades, upgradeTimeout, path: side.io.path(), connectTimeout: side.io.connectTimeout() };
  },

  async "transports by name, and the upgrade's events"(side) {
    const events = [];
    side.io.engine.on("connection", (connection) => {
      events.push(["connection", connection.transport.name, connection.upgraded]);
      connection.once("upgrading", (transport) => events.push(["upgrading", transport.name, connection.transport.name]));
      connection.once("upgrade", (transport) => events.push(["upgrade", transport.name, connection.transport.name, connection.upgraded]));
    });
    const { client, socket } = await side.meet({ transports: ["polling", "websocket"] });
    await until(() => socket.conn.transport.name === "websocket" && client.io.engine.transport.name === "websocket");
    socket.emit("behind the upgrade");
    await side.mark();
    const direct = [(await side.meet()).socket, (await side.meet({ transports: ["polling"] })).socket].map(({ conn }) => [conn.transport.name, conn.upgraded]);
    return { events, direct, heard: client.heard };
  },

  async "subprotocols: the first that a client offers is spoken, behind polling, too"(side) {
    const spoken = [];
    for (const [protocols, transports] of [[["x", "y"], ["websocket"]], ["v1.json", ["websocket"]], [["y", "x"], ["polling", "websocket"]], [[], ["websocket"]]]) {
      const { client, socket } = await side.meet({ protocols, transports });
      await until(() => client.io.engine.transport.name === "websocket");
      spoken.push([client.io.engine.transport.ws.protocol, socket.handshake.headers["sec-websocket-protocol"]]);
    }
    return spoken;
  },

  async "subprotocols that are none are refused"(side) {
    const statuses = [];
    for (const protocols of ["a b", "a,,b", "a, a", "a;b", "a,b"]) {
      const headers = {
        Connection: "Upgrade", Upgrade: "websocket", "Sec-WebSocket-Version": "13", "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==", "Sec-WebSocket-Protocol": protocols,
      };
      const asked = ask(`${side.io.url}/socket.io/?EIO=4&transport=websocket`, { headers });
      asked.end();
      const [response, socket] = await Promise.race([event(asked, "upgrade"), event(asked, "response")]);
      response.resume();
      socket?.destroy();
      statuses.push([response.statusCode, response.headers["sec-websocket-protocol"]]);
    }
    return statuses;
  },

  async "a WebSocket that probes and goes no further: upgrading, and no upgrade"(side) {
    const events = [];
    side.io.engine.on("connection", (connection) => {
      for (const name of ["upgrading", "upgrade"]) connection.on(name, (transport) => events.push([name, transport.name, connection.transport.name, connection.upgraded]));
    });
    const { client, socket } = await side.meet({ transports: ["polling"] });
    const probe = new WebSocket(`${side.io.url.replace("http", "ws")}/socket.io/?EIO=4&transport=websocket&sid=${client.io.engine.id}`);
    await event(probe, "open");
    probe.send("2probe");
    const [answer] = await event(probe, "message");
    await until(() => events.length > 0);
    probe.close();
    await side.mark();
    return { answer: String(answer), events, connected: socket.connected };
  },

  async "what is said around an upgrade comes once and in order, both ways"(side) {
    const there = [];
    side.io.on("connection", (socket) => {
      socket.on("n", (number) => there.push(number));
      // One in each turn, until the client is over; and then some.
      let number = 0;
      const more = () => {
        if (number < 150 || socket.conn.transport.name !== "websocket") setImmediate(more);
        socket.emit("n", number);
        number += 1;
      };
      more();
    });
    const client = side.client({ transports: ["polling", "websocket"] });
    let sent = 0;
    const timer = setInterval(() => { if (client.connected) client.emit("n", (sent += 1)); }, 1);
    await until(() => client.io.engine?.transport?.name === "websocket" && client.heard.length >= 150);
    clearInterval(timer);
    await side.mark();
    client.emit("n", "end");
    await until(() => there.at(-1) === "end");
    const inOrder = there.slice(0, -1).every((number, at) => number === at + 1) && there.length === sent + 1;
    return { inOrder, heard: client.heard.every(([, number], at) => number === at), enough: client.heard.length >= 150 };
  },

  async "packets that come and go are told of"(side) {
    const packets = [];
    const { client, socket } = await side.meet();
    socket.conn.on("packet", ({ type, data }) => packets.push(["came", type, data]));
    socket.conn.on("packetCreate", ({ type, data, options }) => packets.push(["goes", type, data, options.compress]));
    client.emit("hello", 1);
    await event(socket, "hello");
    socket.emit("world", Buffer.of(1));
    side.io.emit("all");
    client.on("ask", (answer) => answer());
    await socket.timeout(3_000).emitWithAck("ask");
    // Numbers of acknowledgements begin anywhere.
    const unnumbered = (data) => (typeof data === "string" ? data.replace(/^([23])\d+\[/, "$1#[") : data);
    return packets.map(([way, type, data, ...rest]) => [way, type, unnumbered(data), ...rest]);
  },

  async "a broadcast is told of with its frame, as it is encoded once for all"(side) {
    const packets = [];
    const { socket } = await side.meet();
    socket.conn.on("packetCreate", ({ options: { preEncoded, compress, volatile, wsPreEncodedFrame } }) => {
      packets.push([preEncoded, compress, volatile, wsPreEncodedFrame?.map((part) => part.subarray(0, 40).toString("hex"))]);
    });
    side.io.emit("short", "é");
    side.io.compress(false).emit("middle", "x".repeat(300));
    side.io.emit("long", "x".repeat(70_000));
    side.io.emit("binary", Buffer.of(1));
    return packets;
  },

  async "messages past Socket.IO: raw ones of the engine"(side) {
    const { client, socket } = await side.meet();
    const came = [];
    client.io.engine.on("message", (data) => came.push(data));
    const told = [];
    socket.conn.on("message", (data) => told.push(data));
    socket.conn.send("2[\"raw\",\"é\"]");
    socket.conn.write("2[\"raw\",2]", { compress: false });
    client.io.engine.write("2[\"mine\"]");
    await event(socket, "mine");
    await side.mark();
    return { heard: client.heard, came: came.slice(0, 2), told };
  },
});

/** How a client goes: `(client, socket, io)`; what its server and the client are told. */
const ENDS = {
  "the client disconnects": (client) => client.disconnect(),
  "the server disconnects the namespace": (client, socket) => socket.disconnect(),
  "the server disconnects the connection": (client, socket) => socket.disconnect(true),
  "the client's engine closes": (client) => client.io.engine.close(),
  "the server closes the engine's connection": (client, socket) => socket.conn.close(),
  "the servers' sockets are disconnected": (client, socket, io) => io.disconnectSockets(true),
  "an event of a namespace that it is not in": (client) => client.io.engine.write("2/nowhere,[\"x\"]"),
  "a second CONNECT": (client) => client.io.engine.write("0"),
  "an error, as only servers send it": (client) => client.io.engine.write("4[\"x\"]"),
  "an event without a name": (client) => client.io.engine.write("2[]"),
  "more attachments than the parser takes": (client) => client.emit("many", ...Array.from({ length: 11 }, (_, number) => Buffer.of(number))),
  "a packet of no type": (client) => client.io.engine.write("nonsense"),
  "an empty packet": (client) => client.io.engine.write(""),
  "a count of attachments that is no number": (client) => client.io.engine.write("5many"),
  "a count of attachments that is missing": (client) => client.io.engine.write("5"),
  "JSON that is none": (client) => client.io.engine.write("2[\"x\""),
  "an attachment that none announced": (client) => client.io.engine.write(Buffer.of(1)),
  "a packet where an attachment is due": (client) => {
    client.io.engine.write("51-[\"x\",{\"_placeholder\":true,\"num\":0}]");
    client.io.engine.write("2[\"y\"]");
  },
  "text above 0x7f that is no packet": (client) => client.io.engine.write("é"),
  "an acknowledgement that nobody asked for, and then goes": (client) => { client.io.engine.write("3999[1]"); client.disconnect(); },
};

const ends = (transport, cases) => Object.fromEntries(Object.entries(cases).map(([name, end]) => [`${transport}: ${name}`, async (side) => {
  const { client, socket } = await side.meet({ transports: [transport] });
  const told = [];
  socket.on("disconnecting", (reason) => told.push(["disconnecting", reason]));
  socket.on("error", (error) => told.push(["error", error.message]));
  socket.conn.on("close", (reason) => told.push(["close", reason]));
  const gone = event(socket, "disconnect");
  end(client, socket, side.io);
  const [reason] = await gone;
  await until(() => client.disconnects.length > 0 && told.some(([what]) => what === "close"));
  await until(() => side.io.engine.clientsCount === 0);
  return { told, reason, client: client.disconnects, connected: [client.connected, socket.connected], left: side.io.sockets.sockets.size };
}]));

const CUT = {
  "the server closes it at once": (client, socket) => socket.conn.close(true),
  "the wire is cut": (client) => client.io.engine.transport.ws.terminate(),
  "a frame that Engine.IO does not know": (client) => client.io.engine.transport.ws.send("x"),
};

alike("how a connection ends", {}, {
  ...ends("websocket", ENDS),
  ...ends("websocket", CUT),
  ...ends("polling", ENDS),

  async "what a client says before it goes is heard before that"(side) {
    const { client, socket } = await side.meet();
    const order = [];
    socket.onAny((name, value) => order.push([name, value]));
    socket.on("disconnect", (reason) => order.push(reason));
    for (let number = 0; number < 5; number += 1) client.emit("n", number);
    client.emit("bytes", Buffer.of(1));
    client.disconnect();
    await until(() => order.length === 7);
    return order;
  },

  async "what the server says before it disconnects comes"(side) {
    const { client, socket } = await side.meet();
    for (let number = 0; number < 20; number += 1) socket.emit("n", number);
    socket.emit("bytes", Buffer.alloc(200_000));
    socket.disconnect(true);
    await until(() => client.disconnects.length === 1);
    return { heard: client.heard.map(([name, value]) => [name, value.length ?? value]), reason: client.disconnects };
  },

  async "disconnected in its connection handler"(side) {
    side.io.on("connection", (socket) => { socket.emit("sorry"); socket.disconnect(true); });
    const client = side.client();
    await until(() => client.disconnects.length === 1);
    return [client.heard, client.disconnects];
  },

  async "io.close() ends all, with its reason, and nobody comes any more"(side) {
    const meetings = [await side.meet(), await side.meet()];
    const reasons = [];
    for (const { socket } of meetings) socket.on("disconnect", (reason) => reasons.push(reason));
    await new Promise((resolve) => { side.io.close(() => resolve()); });
    await until(() => meetings.every(({ client }) => client.disconnects.length === 1));
    return { reasons, clients: meetings.map(({ client }) => client.disconnects), left: side.io.sockets.sockets.size };
  },
});

alike("time", {
  options: { pingInterval: 300, pingTimeout: 400, connectTimeout: 300 },
  daemon: ["--set", "engine.ping_interval_ms=300", "--set", "engine.ping_timeout_ms=400", "--set", "engine.connect_timeout_ms=300"],
}, {
  async "a client that answers pings stays"(side) {
    const { client, socket } = await side.meet();
    let pings = 0;
    client.io.engine.on("ping", () => { pings += 1; });
    await until(() => pings >= 3);
    return [socket.connected, client.disconnects];
  },

  async "a client that does not answer a ping is gone: ping timeout"(side) {
    const { client, socket } = await side.meet();
    const told = [];
    socket.on("disconnecting", (reason) => told.push(reason));
    const send = client.io.engine._sendPacket.bind(client.io.engine);
    client.io.engine._sendPacket = (type, ...rest) => { if (type !== "pong") send(type, ...rest); };
    const [reason] = await event(socket, "disconnect");
    told.push(reason);
    await until(() => client.disconnects.length === 1);
    return { told, client: client.disconnects };
  },

  async "a client that joins no namespace is closed"(side) {
    const engine = new EngineSocket(side.io.url, { transports: ["websocket"], path: "/socket.io/" });
    let connections = 0;
    side.io.on("connection", () => { connections += 1; });
    const [reason] = await event(engine, "close");
    await until(() => side.io.engine.clientsCount === 0);
    return { reason, connections };
  },
});

const DONE = '42["done"]';

/** What comes of packets that a client says by itself: what the server hears, what the client is told, and whether it is closed. */
async function odd(side, packets) {
  const heard = [];
  let reason;
  side.io.of("/").removeAllListeners("connection");
  side.io.of("/").on("connection", (socket) => {
    socket.onAny((name, ...values) => {
      const answer = values.at(-1);
      if (typeof answer === "function") answer("answer", name);
      const shown = values.map((value) => (typeof value === "function" ? "…" : [JSON.stringify(value), Object.getPrototypeOf(value ?? 0) === Object.prototype, typeof value?.polluted]));
      if (name !== "done") heard.push([name, ...shown]);
      else socket.emit("done");
    });
    socket.on("error", ({ message }) => heard.push(["error", message]));
    socket.once("disconnect", (why) => { reason = why; });
  });
  const client = new WebSocket(`${side.io.url.replace("http", "ws")}/socket.io/?EIO=4&transport=websocket`);
  const told = [];
  client.on("message", (bytes) => told.push(`${bytes}`.replaceAll(/"(sid|pid)":"[^"]+"/g, '"$1":"…"')));
  const closed = event(client, "close");
  await event(client, "open");
  client.send("40");
  await until(() => told.some((text) => text.startsWith("40{")));
  const from = told.length;
  for (const [number, packet] of packets.entries()) {
    const before = told.length;
    client.send(packet);
    // What comes in one chunk with the next packet depends on the ticks that stock takes for a CONNECT.
    if (number < packets.length - 1 && String(packet).startsWith("40")) await until(() => told.length > before);
  }
  // What another namespace says may come behind the first one.
  for (const count of [1, 2]) {
    if (client.readyState === WebSocket.OPEN) client.send(DONE);
    const done = until(() => told.filter((text) => text === DONE).length === count || client.readyState === WebSocket.CLOSED);
    await Promise.race([closed, done]);
  }
  const isClosed = client.readyState === WebSocket.CLOSED;
  if (isClosed) await until(() => reason !== undefined);
  client.terminate();
  await closed;
  return { packets: packets.map(String), heard, told: told.slice(from).filter((text) => text !== DONE).sort(), end: isClosed ? reason : "open" };
}

alike("what no client of socket.io says", {}, {
  async "keys and names that objects have of themselves"(side) {
    const outcomes = [];
    for (const packet of [
      '42["x",{"__proto__":{"polluted":1}}]', '42["x",{"constructor":{"prototype":{"polluted":1}}}]', '42["x",{"a":{"__proto__":[]}}]', '42["__proto__",1]', '42["constructor",{}]',
      '42["toString"]', '42["hasOwnProperty",1]', '421["__proto__"]', '42/__proto__,["x"]', '40/__proto__,', '40/constructor,{"__proto__":{"polluted":1}}', '42[""]', '42[0,1]', '42[-1.5]',
    ]) outcomes.push(await odd(side, [packet]));
    outcomes.push(await odd(side, ['451-["x",{"__proto__":{"_placeholder":true,"num":0}}]', Buffer.from("bytes")]));
    return [outcomes, {}.polluted ?? "clean"];
  },

  async "events that are reserved"(side) {
    const outcomes = [];
    for (const name of ["connect", "connect_error", "disconnect", "disconnecting", "newListener", "removeListener", "error", "connection", "message"]) {
      outcomes.push(await odd(side, [`42["${name}",1]`]), await odd(side, [`427["${name}"]`]));
    }
    return outcomes;
  },

  async "ids of acknowledgements that no client counts up to"(side) {
    const outcomes = [];
    for (const id of ["0", "00", "007", "2147483647", "4294967296", "9007199254740991", "9007199254740993", "99999999999999999999", "1".repeat(23), "1".repeat(400), "-1", "1e3", "0x10", " 1", "1 "]) {
      outcomes.push(await odd(side, [`42${id}["x"]`]), await odd(side, [`43${id}["nobody asked"]`]));
    }
    return outcomes;
  },

  async "namespaces with a query, or that are none"(side) {
    side.io.of("/chat").on("connection", (socket) => socket.emit("hello", socket.nsp.name, socket.handshake.auth));
    const outcomes = [];
    for (const packets of [
      ["40/chat?token=x,"], ["40/chat?token=x,", '42/chat?token=x,["x"]'], ["40/chat?,"], ["40/chat,", '42/chat?token=x,["x"]'], ["40?token=x,"], ["40/?token=x,"], ["40/?,", '42/?,["x"]'],
      ["40/chat#x,"], ["40//chat,"], ["40/chat/,"], ["40chat,"], ["40/CHAT,"], ["40/chat"], ["40/ch%61t,"], ["40/"], ["40/,"], ['42/chat,["x"]'], ["40"], ["40/chat,", "40/chat,"],
    ]) outcomes.push(await odd(side, packets));
    return outcomes;
  },
});

/** What a browser would look at. */
async function fetched(url, options = {}) {
  const response = await fetch(url, options);
  const headers = Object.fromEntries([...response.headers].filter(([name]) => /^access-control|^content-type|^vary/.test(name)).sort());
  return { status: response.status, headers, body: (await response.text()).replace(/"sid":"[^"]+"/, '"sid":"…"') };
}

alike("HTTP", {}, {
  async "a handshake by polling is answered alike"(side) {
    const { status, body } = await fetched(`${side.io.url}/socket.io/?EIO=4&transport=polling`);
    return { status, open: { ...JSON.parse(body.slice(1)), type: body[0] } };
  },

  async "paths below the engine's are the engine's"(side) {
    const answers = [];
    for (const path of ["/socket.io/default/", "/socket.io/a/b"]) {
      const { status } = await fetched(`${side.io.url}${path}?EIO=4&transport=polling`);
      answers.push([path, status]);
    }
    const { status, body } = await fetched(`${side.io.url}/socket.io/default/`);
    return { answers, unknown: [status, body] };
  },

  async "who is refused hears what was said before, and then the end"(side) {
    const told = [];
    side.io.on("connection", (socket) => {
      socket.on("error", ({ message }) => told.push(message));
      // Its reason hangs on whether a GET waits.
      socket.on("disconnect", () => told.push("disconnect"));
    });
    const path = `${side.io.url}/socket.io/?EIO=4&transport=polling`;
    const polled = [];
    for (const wrong of ["40", "4abc", "42/nowhere,[\"x\"]"]) {
      const open = await (await fetch(path)).text();
      const session = `${path}&sid=${JSON.parse(open.slice(1)).sid}`;
      const post = (body) => fetched(session, { method: "POST", body });
      await post("40");
      await post(wrong);
      const first = await fetched(session);
      const second = await fetched(session);
      polled.push([first.body, second.body]);
    }
    await until(() => told.length === 4);
    return { polled, told };
  },

  async "requests that are wrong are refused with Engine.IO's codes"(side) {
    const asks = ["EIO=4&transport=carrier-pigeon", "EIO=4", "EIO=4&transport=polling&sid=unknown", "EIO=7&transport=polling", "transport=polling"];
    const answers = [];
    for (const ask of asks) {
      const { status, body } = await fetched(`${side.io.url}/socket.io/?${ask}`);
      answers.push([ask, status, body]);
    }
    const { status, body } = await fetched(`${side.io.url}/socket.io/?EIO=4&transport=polling`, { method: "POST", body: "40" });
    return [...answers, ["POST without a session", status, body]];
  },
});

alike("CORS", { options: { cors: { origin: ORIGIN, credentials: true } }, daemon: ["--set", `origins.allowed=["${ORIGIN}"]`] }, {
  async "an origin that may: polling and WebSocket connect"(side) {
    const connected = [];
    for (const transports of [["polling"], ["websocket"]]) {
      const { client, socket } = await side.meet({ transports, extraHeaders: { Origin: ORIGIN } });
      connected.push([client.connected, socket.handshake.xdomain, socket.handshake.headers.origin]);
    }
    const { headers } = await fetched(`${side.io.url}/socket.io/?EIO=4&transport=polling`, { headers: { Origin: ORIGIN } });
    const preflight = await fetched(`${side.io.url}/socket.io/?EIO=4&transport=polling`, {
      method: "OPTIONS", headers: { Origin: ORIGIN, "Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "content-type" },
    });
    const says = (answer) => ["origin", "credentials", "headers"].map((what) => answer[`access-control-allow-${what}`]);
    return { connected, get: says(headers), preflight: [preflight.status, ...says(preflight.headers), /POST/.test(preflight.headers["access-control-allow-methods"])] };
  },
});
