// What an application says of a client before it is let in: allowRequest, middlewares and hooks of io.engine, CORS, and the server's options.
import assert from "node:assert/strict";
import { request } from "node:http";
import { test } from "node:test";
import session from "express-session";
import { event, until } from "../it/daemon.mjs";
import { total } from "../it/metrics.mjs";
import { alike, outcome, withDaemon } from "./both.mjs";

const ORIGIN = "https://app.example";
const HELLO = "/socket.io/?EIO=4&transport=polling";

/** A request; node:http, as fetch has opinions of its own about headers. */
export const ask = (io, path = HELLO, headers = {}, method = "GET") => new Promise((resolve, reject) => {
  const asking = request(`${io.url}${path}`, { headers, method }, (response) => {
    let body = "";
    response.setEncoding("utf8").on("data", (chunk) => { body += chunk; }).on("end", () => resolve({ status: response.statusCode, headers: response.headers, body }));
  });
  // A WebSocket that is let in.
  asking.on("upgrade", (response, socket) => { socket.destroy(); resolve({ status: response.statusCode, headers: response.headers, body: "" }); });
  asking.on("error", reject).end();
});

const UPGRADE = { Connection: "Upgrade", Upgrade: "websocket", "Sec-WebSocket-Version": "13", "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==" };
const upgrade = (io, headers = {}) => ask(io, "/socket.io/?EIO=4&transport=websocket", { ...UPGRADE, ...headers });

/** What an answer says of origins, and what the application adds. */
function said({ status, headers }) {
  const names = Object.keys(headers).filter((name) => /^(access-control-|x-|set-cookie|vary)/.test(name)).sort();
  return [status, Object.fromEntries(names.map((name) => [name, headers[name]]))];
}

/** What the client hears when it may not come in. */
const refused = async (side, options = {}) => {
  const client = side.client(options);
  const [error] = await event(client, "connect_error");
  return [error.message, error.context?.status, error.context?.responseText];
};

alike("a request is judged", { serves: false }, {
  async "allowRequest says no: why is in the answer, and connection_error says it"(side) {
    const told = [];
    const allowRequest = (req, decide) => setTimeout(decide, 5, "not you", false);
    const io = await side.serve({ allowRequest });
    io.engine.on("connection_error", ({ req, code, message, context }) => told.push([req.url.split("?")[0], code, message, context]));
    const { status, headers, body } = await ask(io);
    return { status, type: headers["content-type"], body, polling: await refused(side, { transports: ["polling"] }), websocket: (await refused(side))[0], told };
  },

  async "allowRequest says yes to some: by header, by query"(side) {
    const allowRequest = ({ headers, _query }, decide) => decide(null, headers["x-key"] === "open" && _query.door === "blue");
    const io = await side.serve({ allowRequest });
    const { client } = await side.meet({ extraHeaders: { "X-Key": "open" }, query: { door: "blue" } });
    const polls = await side.meet({ transports: ["polling"], extraHeaders: { "X-Key": "open" }, query: { door: "blue" } });
    return [client.connected, polls.client.connected, (await ask(io)).status, (await upgrade(io)).status];
  },

  async "middlewares of the engine see the request, and what they add stands at the socket's"(side) {
    const order = [];
    const io = await side.serve({}, { prepare({ engine }) {
      engine.use((req, res, next) => { order.push("one"); req.session = { user: req.headers["x-user"] }; next(); });
      engine.use((req, res, next) => { order.push("two"); res.setHeader("X-Seen", req.session.user); setTimeout(next, 5); });
    } });
    const { socket } = await side.meet({ extraHeaders: { "X-User": "ann" } });
    const answer = await ask(io, HELLO, { "X-User": "ben" });
    return [socket.request.session, said(answer), order.slice(0, 2), order.length >= 4];
  },

  async "a middleware may answer by itself"(side) {
    const io = await side.serve({}, { prepare: ({ engine }) => engine.use((req, res, next) => {
      if (req.headers["x-user"]) return next();
      res.writeHead(401, { "X-Why": "none" });
      res.end("who are you?");
    }) });
    const { status, headers, body } = await ask(io);
    const { client } = await side.meet({ extraHeaders: { "X-User": "ann" } });
    return [status, headers["x-why"], body, client.connected];
  },

  async "express-session: who is new is told its cookie, is stored, and is known by it later"(side) {
    const store = new session.MemoryStore();
    const io = await side.serve({}, { prepare({ engine }) {
      engine.use(session({ secret: "s", resave: false, saveUninitialized: true, store }));
      engine.use((req, res, next) => { req.session.visits = (req.session.visits ?? 0) + 1; next(); });
    } });
    const cookieOf = ({ headers }) => headers["set-cookie"].map((cookie) => cookie.replace(/=s%3A[^;]+/, "=ID"));
    const [polled, upgraded] = [await ask(io), await upgrade(io)];
    const [cookie] = polled.headers["set-cookie"][0].split(";");
    const stored = Object.values(store.sessions).map((text) => JSON.parse(text).visits);
    const { socket } = await side.meet({ extraHeaders: { Cookie: cookie } });
    const again = await ask(io, HELLO, { Cookie: cookie });
    return [cookieOf(polled), cookieOf(upgraded), stored, socket.request.session.visits, again.headers["set-cookie"] ?? "none"];
  },

  async "who is refused has the headers that middlewares set, by polling"(side) {
    const io = await side.serve({ allowRequest: (req, decide) => decide("no", false) }, { prepare({ engine }) {
      engine.use(session({ secret: "s", resave: false, saveUninitialized: true }));
      engine.use((req, res, next) => { res.setHeader("X-Seen", "yes"); next(req.headers["x-fail"] && new Error("no")); });
    } });
    const told = async ({ status, headers, body }) => [status, headers["x-seen"], headers["set-cookie"]?.length, headers["content-type"], body];
    return [await told(await ask(io)), await told(await ask(io, HELLO, { "X-Fail": "1" })), (await told(await upgrade(io))).slice(0, 3)];
  },

  async "a middleware may say headers in each way that writeHead knows"(side) {
    const heads = [[["X-A", "1", "X-B", "2"]], ["Reason", { "X-A": "1", "X-B": ["2", "3"] }], ["Reason", ["X-A", "1"]], []];
    const io = await side.serve({}, { prepare: ({ engine }) => engine.use((req, res) => {
      res.setHeader("X-A", "0");
      res.writeHead(403, ...heads[Number(req.headers["x-head"])]);
      res.end(res.headersSent ? "sent" : "not sent");
    }) });
    return Promise.all(heads.map(async (_, head) => {
      const { body, ...answer } = await ask(io, HELLO, { "X-Head": String(head) });
      return [said(answer), body];
    }));
  },

  async "loggers of requests hear when one was answered"(side) {
    const told = [];
    const io = await side.serve({}, { prepare: ({ engine }) => engine.use((req, res, next) => {
      const { user } = Object.fromEntries(new URL(req.url, "http://x").searchParams);
      for (const name of ["finish", "close"]) res.on(name, () => told.push([user, name, req._query.transport === "polling" && [res.statusCode, res.writableEnded]].join()));
      if (user === "no") res.writeHead(401).end();
      else next();
    }) });
    await ask(io, `${HELLO}&user=polls`);
    await ask(io, `${HELLO}&user=no`);
    const { client } = await side.meet({ query: { user: "socket" } });
    const before = told.filter((line) => line.startsWith("socket"));
    client.disconnect();
    await until(() => told.length === 5);
    return [before, told.sort()];
  },

  async "a middleware may answer in pieces, which end anywhere"(side) {
    const io = await side.serve({}, { prepare({ engine }) {
      engine.use((req, res) => { for (const byte of Buffer.from("für alle 🙂")) res.write(Buffer.of(byte)); res.end(); });
    } });
    const { status, body } = await ask(io);
    return [status, body];
  },

  async "a middleware that fails is a bad request"(side) {
    const told = [];
    const io = await side.serve({}, { prepare({ engine }) {
      engine.use((req, res, next) => next(new Error("no")));
      engine.on("connection_error", ({ code, message, context: { name } }) => told.push([code, message, name]));
    } });
    const { status, body } = await ask(io);
    return [status, body, told];
  },

  async "headers of the first answer, and of all of them"(side) {
    const initial = [];
    const io = await side.serve({}, { prepare({ engine }) {
      // Of several cookies stock makes one for a WebSocket, which no browser reads.
      const cookies = { polling: ["a=1; Path=/", "b=2"], websocket: "a=1; Path=/" };
      engine.on("initial_headers", (headers, { url, _query }) => { initial.push(url.split("?")[0]); headers["x-first"] = "1"; headers["set-cookie"] = cookies[_query.transport]; });
      engine.on("headers", (headers) => { headers["x-all"] = "2"; });
    } });
    return [said(await ask(io)), said(await upgrade(io)), initial];
  },

  async "ids are the application's"(side) {
    let count = 0;
    const io = await side.serve({}, { prepare({ engine }) { engine.generateId = ({ headers }) => Promise.resolve(`${headers["x-user"]}-${(count += 1)}`); } });
    const one = await side.meet({ extraHeaders: { "X-User": "ann" } });
    const two = await side.meet({ transports: ["polling"], extraHeaders: { "X-User": "ben" } });
    return [one.socket.conn.id, two.socket.conn.id, Object.keys(io.engine.clients)];
  },

  async "requests that are refused are told"(side) {
    const told = [];
    const io = await side.serve({}, { prepare: ({ engine }) => engine.on("connection_error", ({ req, code, message, context }) => told.push([req.method, code, message, context])) });
    const answers = [];
    for (const [query, method] of [["EIO=4&transport=pigeon"], ["EIO=4"], ["EIO=4&transport=polling&sid=none"], ["EIO=4&transport=polling", "POST"], ["EIO=3&transport=polling"]]) {
      const { status, body } = await ask(io, `/socket.io/?${query}`, {}, method);
      answers.push([status, body]);
    }
    await until(() => told.length === answers.length);
    return { told: told.map(([method, code, message, context]) => [method, code, message, JSON.stringify(context)]), answers };
  },
});

const asks = async (io, path) => {
  const answers = [];
  for (const origin of [ORIGIN, "https://other.example"]) {
    answers.push(said(await ask(io, path, { Origin: origin })));
    answers.push(said(await ask(io, path, { Origin: origin, "Access-Control-Request-Method": "GET", "Access-Control-Request-Headers": "x-mine" }, "OPTIONS")));
  }
  return answers;
};

/** A page of the right origin polls, and each answer lets it read. */
async function polls(side) {
  const io = side.io;
  const hello = await ask(io, HELLO, { Origin: ORIGIN });
  const { sid } = JSON.parse(hello.body.slice(1));
  const headers = { Origin: ORIGIN };
  const post = new Promise((resolve, reject) => {
    request(`${io.url}${HELLO}&sid=${sid}`, { headers, method: "POST" }, (response) => {
      response.resume();
      response.on("end", () => resolve(said({ status: response.statusCode, headers: response.headers })));
    }).on("error", reject).end("40");
  });
  return [said(hello), await post, said(await ask(io, `${HELLO}&sid=${sid}`, headers))];
}

alike("whose pages may come", { serves: false }, {
  async "any"(side) {
    return asks(await side.serve({ cors: { origin: "*" } }));
  },

  async "whoever asks, with credentials"(side) {
    return asks(await side.serve({ cors: { origin: true, credentials: true, methods: ["GET", "POST"], maxAge: 60 } }));
  },

  async "one, and each answer to it says so"(side) {
    const io = await side.serve({ cors: { origin: ORIGIN, credentials: true, exposedHeaders: ["X-A", "X-B"], allowedHeaders: ["x-mine", "x-yours"] } });
    return [(await asks(io)).slice(0, 2), await polls(side)];
  },

  async "some of a list"(side) {
    const io = await side.serve({ cors: { origin: ["https://a.example", ORIGIN] } });
    return (await asks(io)).slice(0, 2);
  },

  async "by a function"(side) {
    const io = await side.serve({ cors: { origin: (origin, decide) => setTimeout(decide, 2, null, origin === ORIGIN), credentials: true } });
    return [(await asks(io)).slice(0, 2), await polls(side)];
  },

  async "with a status of one's own for preflights"(side) {
    const io = await side.serve({ cors: { origin: ORIGIN, optionsSuccessStatus: 200 } });
    return [(await asks(io)).slice(0, 2), await polls(side)];
  },

  async "by a pattern, and by a function for the whole of it"(side) {
    const one = await side.serve({ cors: { origin: [/\.example$/] } });
    const first = await asks(one);
    await one.close();
    const two = await side.serve({ cors: (req, decide) => decide(null, { origin: req.headers.origin, maxAge: 7 }) });
    return [first, await asks(two)];
  },
});

alike("options of the server", { serves: false }, {
  async "what the client is told"(side) {
    const io = await side.serve({ pingInterval: 1_234, pingTimeout: 2_345, maxHttpBufferSize: 5_678, cookie: true });
    const { headers, body } = await ask(io);
    const { sid, ...told } = JSON.parse(body.slice(1));
    return [told, headers["set-cookie"].map((cookie) => cookie.replace(sid, "SID"))];
  },

  async "a cookie of one's own"(side) {
    const io = await side.serve({ cookie: { name: "mine", path: "/a", httpOnly: false, sameSite: "strict", maxAge: 86_400, secure: true, domain: "a.example" } });
    const { headers, body } = await ask(io);
    const { sid } = JSON.parse(body.slice(1));
    // The order of attributes is nobody's business (RFC 6265 section 5.2).
    return headers["set-cookie"].map((cookie) => cookie.replace(sid, "SID").split("; ").sort());
  },

  async "another path, and not the old one"(side) {
    const io = await side.serve({ path: "/chat/live" });
    const { client } = await side.meet({ path: "/chat/live" });
    const polling = await side.meet({ path: "/chat/live/", transports: ["polling"] });
    return [client.connected, polling.client.connected, (await ask(io, "/chat/live/?EIO=4&transport=polling")).status];
  },

  async "WebSocket only"(side) {
    const io = await side.serve({ transports: ["websocket"] });
    const { client } = await side.meet();
    const { status, body } = await ask(io);
    return [client.connected, status, body];
  },

  async "polling only, and no upgrade"(side) {
    const io = await side.serve({ transports: ["polling"] });
    const { client } = await side.meet({ transports: ["polling", "websocket"] });
    const { upgrades } = JSON.parse((await ask(io)).body.slice(1));
    return [client.io.engine.transport.name, upgrades, (await upgrade(io)).status];
  },

  async "no upgrades, although there are WebSockets"(side) {
    const io = await side.serve({ allowUpgrades: false });
    const { client } = await side.meet({ transports: ["polling", "websocket"] });
    const { upgrades } = JSON.parse((await ask(io)).body.slice(1));
    return [client.io.engine.transport.name, upgrades, (await side.meet()).client.connected];
  },

  async "a client that never connects to a namespace is let go"(side) {
    const io = await side.serve({ connectTimeout: 200 });
    const { sid } = JSON.parse((await ask(io)).body.slice(1));
    const before = Date.now();
    await ask(io, `${HELLO}&sid=${sid}`);
    return Date.now() - before < 5_000;
  },

  async "a message that is too large ends the connection"(side) {
    await side.serve({ maxHttpBufferSize: 500 });
    const { client, socket } = await side.meet();
    socket.on("said", (text, answer) => answer(text.length));
    const small = await client.emitWithAck("said", "x".repeat(300));
    client.emit("said", "x".repeat(600));
    await until(() => client.disconnects.length === 1);
    return [small, client.disconnects];
  },
});

const at = withDaemon();
const behind = (name, options, behaviour) => test(name, { timeout: 60_000 }, () => outcome(at, { serves: false, ...options }, behaviour));

behind("a middleware that never goes on costs its client 503, and nobody else anything", {}, async (side) => {
  const io = await side.serve({}, { prepare: ({ engine }) => engine.use((req, res, next) => { if (!req.headers["x-stuck"]) next(); }) });
  const stuck = ask(io, HELLO, { "X-Stuck": "1" });
  const { client } = await side.meet();
  const { status, body } = await stuck;
  assert.deepEqual([status, JSON.parse(body).code, client.connected], [503, "RW-2611", true]);
  assert.ok(await total(at.daemon, "ringway_upstream_questions_late_total") >= 1);
});

behind("a client that comes while its application is away waits, and is asked about then", {}, async (side) => {
  const allowRequest = ({ headers }, decide) => decide(null, headers["x-user"] === "ann");
  const first = await side.serve({ allowRequest });
  await side.meet({ extraHeaders: { "X-User": "ann" } });
  first.ringway.prepareStop();
  await first.close();
  const waiting = [ask(side.at, HELLO, { "X-User": "ann" }), ask(side.at, HELLO, { "X-User": "eve" })];
  await until(async () => await total(at.daemon, "ringway_upstream_questions_open") === 2);
  await side.serve({ allowRequest });
  assert.deepEqual((await Promise.all(waiting)).map(({ status }) => status), [200, 403]);
});

behind("a client of a worker that is gone is shown to the middlewares of the next one", {}, async (side) => {
  const prepare = ({ engine }) => engine.use((req, res, next) => { req.session = { user: req.headers["x-user"] }; setTimeout(next, 20); });
  const first = await side.serve({}, { prepare, onClose: "keep" });
  const { client } = await side.meet({ extraHeaders: { "X-User": "ann" } });
  await first.close();
  const next = await side.serve({}, { prepare });
  next.on("connection", (socket) => socket.on("who", (answer) => answer(socket.request.session.user)));
  assert.equal(await client.emitWithAck("who"), "ann");
  assert.deepEqual(client.disconnects, []);
});

behind("of two workers the one that let a client in has it", {}, async (side) => {
  const seen = new Map();
  const prepare = (io) => io.engine.use((req, res, next) => { req.by = io; next(); });
  for (const io of [await side.serve({}, { prepare }), await side.serve({}, { prepare })]) io.on("connection", (socket) => seen.set(socket.id, [io, socket.request.by]));
  for (let count = 0; count < 8; count += 1) await side.meet({ transports: [count % 2 ? "polling" : "websocket"] });
  assert.equal(seen.size, 8);
  assert.ok([...seen.values()].every(([io, by]) => io === by));
  assert.equal(new Set([...seen.values()].map(([io]) => io)).size, 2);
});

behind("with `rpc: every` each request is shown to the middlewares", {}, async (side) => {
  const urls = [];
  const io = await side.serve({}, { rpc: "every", prepare: ({ engine }) => engine.use((req, res, next) => { urls.push(req.method); res.setHeader("X-Poll", String(urls.length)); next(); }) });
  const { client, socket } = await side.meet({ transports: ["polling"] });
  socket.on("echo", (value, answer) => answer(value));
  const large = "x".repeat(200_000);
  assert.equal(await client.emitWithAck("echo", large), large);
  assert.ok(urls.filter((method) => method === "GET").length >= 3, String(urls));
  assert.ok(urls.filter((method) => method === "POST").length >= 2, String(urls));
  const count = urls.length;
  assert.ok(Number((await ask(io)).headers["x-poll"]) > count);
});

behind("who came before the application said that it asks is asked about when it opens", {}, async (side) => {
  // The last application here has left word that it asks: one that does not is heard last.
  const last = await side.serve();
  await last.close();
  const [eve, ann] = ["eve", "ann"].map((user) => side.client({ io: side.at, extraHeaders: { "X-User": user } }));
  const gone = new Promise((resolve) => { eve.io.once("close", resolve); });
  await until(async () => await total(at.daemon, "ringway_upstream_clients_waiting") === 2);
  const allowRequest = ({ headers }, decide) => setTimeout(decide, 10, null, headers["x-user"] === "ann");
  await side.serve({ allowRequest });
  await gone;
  await until(() => ann.connected);
  assert.equal(eve.connected, false);
});
