// Namespaces: fixed ones, by an expression, by a function; what they share, and what not.
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { event, until } from "../it/daemon.mjs";
import { alike, outcome, withDaemon } from "./both.mjs";

/** One more namespace on the connection of a client that has one. */
async function beside(side, client, namespace, options = {}) {
  return side.met(side.watch(client.io.socket(namespace, options)), namespace);
}

const refusal = (client) => event(client, "connect_error").then(([error]) => [error.message, error.data]);
const names = (io) => [...io._nsps.keys()].sort();

/** Of CONNECTs that can be read: of those of another parser two are only seen to be of one breath when they come in one turn. */
const TWICE = {
  async "a client that asks for one, leaves it and asks again at once keeps its connection and its other ones"(side) {
    const { client } = await side.meet();
    const ways = { "/a": (socket) => socket.disconnect().connect(), "/b": () => client.io.engine.write("0/b,") };
    const connections = [];
    for (const [name, again] of Object.entries(ways)) {
      side.io.of(name).on("connection", (socket) => { connections.push(name); socket.on("echo", (value, answer) => answer(value)); });
      // One breath is one segment: stock has a tick between two.
      const { _socket: wire } = client.io.engine.transport.ws;
      wire.cork();
      again(client.io.socket(name));
      setImmediate(() => wire.uncork());
      await until(() => connections.filter((at) => at === name).length === 2);
    }
    const answers = await Promise.all(Object.keys(ways).map((name) => client.io.socket(name).timeout(3_000).emitWithAck("echo", name)));
    return { connections, answers, disconnects: client.disconnects, connected: client.connected };
  },

  async "two CONNECTs for one in one POST are both answered"(side) {
    side.io.of("/a");
    const path = `${side.io.url}/socket.io/?EIO=4&transport=polling`;
    const ask = async (sid, body) => (await fetch(`${path}${sid ? `&sid=${sid}` : ""}`, body ? { method: "POST", body } : {})).text();
    const { sid } = JSON.parse((await ask()).slice(1));
    await ask(sid, "40/a,\x1e40/a,");
    let said = "";
    while (said.split("40/a,").length < 3 && !said.includes("1")) said += (await ask(sid)).replaceAll(/"[^"]+":"[^"]+"/g, "");
    await ask(sid, "41/a,");
    await ask(sid, "1");
    return said.replaceAll("\x1e", "");
  },
};

alike("namespaces", {}, {
  ...(process.env.UPSTREAM_PARSER === undefined ? TWICE : {}),

  async "one connection has several, each with an id, rooms and events of its own"(side) {
    side.io.of("/admin").on("connection", (socket) => { socket.join("room"); socket.emit("welcome", socket.nsp.name); });
    side.io.on("connection", (socket) => socket.join("room"));
    const main = await side.meet();
    const admin = await beside(side, main.client, "/admin");
    side.io.to("room").emit("in main");
    side.io.of("/admin").to("room").emit("in admin");
    side.io.of("admin").emit("without a slash");
    await side.mark();
    await side.mark(side.io.of("/admin"), [admin.client]);
    return {
      ids: admin.socket.id === main.socket.id,
      connection: [admin.socket.conn === main.socket.conn, admin.socket.client === main.socket.client],
      heard: [main.client.heard, admin.client.heard],
      counts: [side.io.engine.clientsCount, side.io.sockets.sockets.size, side.io.of("/admin").sockets.size],
      names: names(side.io),
      same: [side.io.of("/") === side.io.sockets, side.io.of("/admin") === side.io.of("/admin")],
    };
  },

  async "a client may be in another one without the main one"(side) {
    let main = 0;
    side.io.on("connection", () => { main += 1; });
    side.io.of("/only").on("connection", (socket) => socket.emit("welcome"));
    const { client, socket } = await side.meet({ namespace: "/only" });
    await side.mark(side.io.of("/only"), [client]);
    return { main, heard: client.heard, url: socket.handshake.url.startsWith("/socket.io/?EIO=4&transport=websocket"), sockets: side.io.sockets.sockets.size };
  },

  async "a middleware is its own namespace's alone"(side) {
    const asked = [];
    side.io.use((socket, next) => { asked.push("main"); next(); });
    side.io.of("/a").use((socket, next) => { asked.push("a"); next(); });
    side.io.of("/b").use((socket, next) => { asked.push("b"); next(new Error("closed")); });
    const { client } = await side.meet({ namespace: "/a" });
    const refused = await refusal(side.watch(client.io.socket("/b")));
    await beside(side, client, "/");
    return { asked, refused };
  },

  async "each has the credentials that it was asked with, and the query of its name"(side) {
    side.io.of("/a");
    const main = await side.meet({ auth: { token: 1 }, query: { from: "main" } });
    const a = await beside(side, main.client, "/a", { auth: { token: 2 } });
    const other = await side.meet({ namespace: "/a?x=1", auth: (give) => give({ later: true }) });
    return [main, a, other].map(({ socket }) => [socket.handshake.auth, socket.handshake.query.from, socket.handshake.query.x]);
  },

  async "thirty of them on one connection"(side) {
    const { client } = await side.meet();
    const heard = [];
    for (let number = 0; number < 30; number += 1) {
      side.io.of(`/n${number}`).on("connection", (socket) => socket.emit("welcome", number));
      const beneath = await beside(side, client, `/n${number}`);
      await side.mark(beneath.socket.nsp, [beneath.client]);
      heard.push(beneath.client.heard[0][1]);
    }
    return heard;
  },

  async "sixty asked for at once, and all of them again when the connection comes back"(side) {
    const numbers = Array.from({ length: 60 }, (_, number) => number);
    numbers.forEach((number) => side.io.of(`/n${number}`));
    const first = side.client({ namespace: "/n0", reconnection: true, reconnectionDelay: 1 });
    const all = [first, ...numbers.slice(1).map((number) => side.watch(first.io.socket(`/n${number}`)))];
    const areConnected = () => until(() => all.every(({ connected }) => connected));
    await areConnected();
    first.io.engine.close();
    await until(() => all.every(({ disconnects }) => disconnects.length === 1));
    await areConnected();
    return [...new Set(all.flatMap(({ disconnects }) => disconnects))];
  },

  async "a name of 1 KiB is one"(side) {
    const name = `/${"n".repeat(1_023)}`;
    side.io.of(name).on("connection", (socket) => socket.emit("welcome", socket.nsp.name.length));
    const { client } = await side.meet({ namespace: name });
    await side.mark(side.io.of(name), [client]);
    return client.heard;
  },

  async "leaving one leaves the others; the server may end one or all"(side) {
    for (const name of ["/a", "/b"]) side.io.of(name);
    const main = await side.meet();
    const a = await beside(side, main.client, "/a");
    const b = await beside(side, main.client, "/b");
    const reasons = [];
    for (const { socket } of [main, a, b]) socket.on("disconnect", (reason) => reasons.push([socket.nsp.name, reason]));
    a.client.disconnect();
    await event(a.socket, "disconnect");
    b.socket.disconnect();
    await until(() => b.client.disconnects.length === 1);
    await side.mark();
    main.socket.disconnect(true);
    await until(() => main.client.disconnects.length === 1);
    return { reasons, clients: [main, a, b].map(({ client }) => client.disconnects) };
  },

  async "disconnect(true) of one is the end of all"(side) {
    side.io.of("/a");
    const main = await side.meet();
    const a = await beside(side, main.client, "/a");
    const reasons = [];
    for (const { socket } of [main, a]) socket.on("disconnect", (reason) => reasons.push([socket.nsp.name, reason]));
    a.socket.disconnect(true);
    await until(() => main.client.disconnects.length + a.client.disconnects.length === 2);
    await until(() => side.io.engine.clientsCount === 0);
    return { reasons, clients: [main.client.disconnects, a.client.disconnects] };
  },

  async "a client that leaves one and comes again has another id"(side) {
    const first = await side.meet();
    const { id } = first.socket;
    const gone = event(first.socket, "disconnect");
    first.client.disconnect();
    const [reason] = await gone;
    first.client.connect();
    const second = await side.met(first.client);
    return [reason, second.socket.id === id, side.io.sockets.sockets.size];
  },

  async "one that is not there is refused, and the connection goes on"(side) {
    const { client } = await side.meet();
    const refused = await refusal(side.watch(client.io.socket("/nowhere")));
    await side.mark();
    return { refused, names: names(side.io) };
  },

  async "new_namespace is told of each"(side) {
    const told = [];
    side.io.on("new_namespace", (namespace) => told.push(namespace.name));
    side.io.of("/a");
    side.io.of("/a");
    side.io.of(/^\/b\d$/);
    await side.meet({ namespace: "/b1" });
    await side.meet({ namespace: "/b1" });
    return told;
  },
});

alike("dynamic namespaces", {}, {
  async "by an expression: children are made as they are asked for, and share handlers and middlewares"(side) {
    const calls = [];
    const parent = side.io.of(/^\/shop-\d+$/);
    parent.use((socket, next) => { calls.push(["middleware", socket.nsp.name]); next(); });
    parent.on("connection", (socket) => { calls.push(["connection", socket.nsp.name]); socket.emit("welcome"); });
    const one = await side.meet({ namespace: "/shop-1" });
    const two = await beside(side, one.client, "/shop-2");
    const refused = await refusal(side.watch(one.client.io.socket("/shop-x")));
    await side.mark(side.io.of("/shop-1"), [one.client]);
    await side.mark(side.io.of("/shop-2"), [two.client]);
    return { calls, refused, names: names(side.io), heard: [one.client.heard, two.client.heard] };
  },

  async "a fixed one goes before an expression, and the first expression before the second"(side) {
    const calls = [];
    side.io.of(/^\/x/).on("connection", (socket) => calls.push(["first", socket.nsp.name]));
    side.io.of(/^\/xy/).on("connection", (socket) => calls.push(["second", socket.nsp.name]));
    side.io.of("/xyz").on("connection", (socket) => calls.push(["fixed", socket.nsp.name]));
    for (const namespace of ["/xy", "/xyz", "/x"]) await side.meet({ namespace });
    return calls;
  },

  async "by a function, that sees name and credentials and may think"(side) {
    const asked = [];
    side.io.of((name, auth, next) => {
      asked.push([name, auth]);
      setImmediate(() => next(null, auth.ok === true));
    }).on("connection", (socket) => socket.emit("welcome", socket.nsp.name));
    const { client } = await side.meet({ namespace: "/any", auth: { ok: true } });
    const refused = await refusal(side.client({ namespace: "/other", auth: { ok: false } }));
    await side.mark(side.io.of("/any"), [client]);
    return { asked, refused, heard: client.heard };
  },

  async "a function that fails is a refusal"(side) {
    side.io.of((name, auth, next) => next(new Error("no"), true));
    return refusal(side.client({ namespace: "/any" }));
  },

  async "the parent speaks to all children; rooms and the main namespace are apart"(side) {
    const parent = side.io.of(/^\/p\d$/);
    const meetings = [await side.meet({ namespace: "/p1" }), await side.meet({ namespace: "/p2" }), await side.meet()];
    meetings[1].socket.join("room");
    parent.emit("to all", Buffer.of(1));
    parent.to("room").emit("to a room");
    parent.except("room").emit("not to a room");
    for (const { client, socket } of meetings) await side.mark(socket.nsp, [client]);
    return meetings.map(({ client }) => client.heard);
  },

  async "without cleanupEmptyChildNamespaces an empty child stays"(side) {
    side.io.of(/^\/c\d$/);
    const { client, socket } = await side.meet({ namespace: "/c1" });
    client.disconnect();
    await event(socket, "disconnect");
    await new Promise(setImmediate);
    return names(side.io);
  },
});

alike("cleanupEmptyChildNamespaces", { options: { cleanupEmptyChildNamespaces: true } }, {
  async "the last one leaves and the child is gone; the next one finds a new child that works"(side) {
    let connections = 0;
    side.io.of(/^\/c\d$/).on("connection", () => { connections += 1; });
    const first = await side.meet({ namespace: "/c1" });
    const second = await side.meet({ namespace: "/c1" });
    const before = side.io.of("/c1");
    first.client.disconnect();
    await event(first.socket, "disconnect");
    const counts = [before.sockets.size, names(side.io)];
    second.client.disconnect();
    await until(() => !side.io._nsps.has("/c1"));
    const { client, socket } = await side.meet({ namespace: "/c1" });
    socket.join("room");
    side.io.of("/c1").to("room").emit("hello");
    await side.mark(side.io.of("/c1"), [client]);
    return { counts, same: side.io.of("/c1") === before, heard: client.heard, connections };
  },

  async "a child whose only visitor is refused is gone, too"(side) {
    side.io.of(/^\/c\d$/).use((socket, next) => next(new Error("no")));
    const refused = await refusal(side.client({ namespace: "/c1" }));
    await until(() => !side.io._nsps.has("/c1"));
    return { refused, names: names(side.io) };
  },

  async "a visitor is refused while another one is on the way, who comes in and can be talked to"(side) {
    const waiting = new Map();
    side.io.of(/^\/c\d$/).use((socket, next) => { waiting.set(socket.handshake.auth.name, next); });
    const other = await side.meet();
    const [refused, client] = ["refused", "late"].map((name) => side.client({ namespace: "/c1", auth: { name } }));
    await until(() => waiting.size === 2);
    const child = side.io._nsps.get("/c1");
    waiting.get("refused")(new Error("no"));
    await event(refused, "connect_error");
    await until(() => !side.io._nsps.has("/c1"));
    // Somebody else's namespace may be the next to come.
    const stranger = side.client({ namespace: "/c2", auth: { name: "stranger" } });
    await until(() => waiting.has("stranger"));
    waiting.get("stranger")();
    await event(stranger, "connect");
    waiting.get("late")();
    await event(client, "connect");
    // What is another namespace's its own client would pass over.
    const strange = [];
    client.io.engine.on("message", (data) => { if (String(data).includes("/c2")) strange.push(data); });
    const socket = child.sockets.get(client.id);
    socket.on("ask", (answer) => answer("answered"));
    socket.join("room");
    child.to("room").emit("in the room");
    const answer = await client.emitWithAck("ask");
    side.io.of("/c2").emit("to the other");
    await side.mark(child, [client]);
    await side.mark(side.io.of("/c2"), [stranger]);
    child.in("room").disconnectSockets();
    await until(() => client.disconnects.length === 1);
    return { answer, strange, heard: [client.heard, stranger.heard], names: names(side.io), disconnects: [client, stranger, other.client].map(({ disconnects }) => disconnects) };
  },

  async "the last one leaves while another is on the way, and a third one comes to a child of its own"(side) {
    const waiting = new Map();
    side.io.of(/^\/c\d$/).use((socket, next) => {
      if (socket.handshake.auth.name === "late") waiting.set("late", next);
      else next();
    });
    const first = await side.meet({ namespace: "/c1", auth: { name: "first" } });
    const late = side.client({ namespace: "/c1", auth: { name: "late" } });
    await until(() => waiting.size === 1);
    const child = first.socket.nsp;
    first.client.disconnect();
    await until(() => !side.io._nsps.has("/c1"));
    const third = await side.meet({ namespace: "/c1", auth: { name: "third" } });
    waiting.get("late")();
    await event(late, "connect");
    // The child that was closed is closed again behind its last one, and the other one's name goes with it.
    const counts = [child.sockets.size, third.socket.nsp.sockets.size];
    late.disconnect();
    await until(() => child.sockets.size === 0);
    const fourth = await side.meet({ namespace: "/c1", auth: { name: "fourth" } });
    fourth.client.disconnect();
    await until(() => !side.io._nsps.has("/c1"));
    third.socket.join("room");
    third.socket.nsp.to("room").emit("still here");
    third.socket.leave("room");
    third.socket.nsp.to("room").emit("not any more");
    third.socket.emit("mark", 0);
    await until(() => third.client.heard.length > 0);
    return { counts, heard: third.client.heard, disconnects: third.client.disconnects };
  },

  async "what is said of the child to which a listener of the last one's leave speaks"(side) {
    const other = await side.meet();
    const left = [];
    side.io.of(/^\/c\d$/).on("connection", (socket) => socket.on("disconnect", () => {
      socket.nsp.emit("left", socket.id);
      socket.nsp.in("room").socketsJoin("another");
      socket.nsp.except("room").disconnectSockets();
      left.push([...socket.rooms], socket.nsp.sockets.size);
    }));
    for (let round = 0; round < 3; round += 1) {
      const { client, socket } = await side.meet({ namespace: "/c1" });
      client.disconnect();
      await event(socket, "disconnect");
    }
    await side.mark(side.io, [other.client]);
    return { left, names: names(side.io), disconnects: other.client.disconnects };
  },

  async "a fixed namespace stays"(side) {
    side.io.of("/fixed", (socket) => socket.emit("welcome"));
    const { client, socket } = await side.meet({ namespace: "/fixed" });
    await side.mark(side.io.of("/fixed"), [client]);
    client.disconnect();
    await event(socket, "disconnect");
    await new Promise(setImmediate);
    return { names: names(side.io), heard: client.heard };
  },

  async "many children, one after the other"(side) {
    side.io.of(/^\/c\d+$/).on("connection", (socket) => socket.emit("welcome", socket.nsp.name));
    const main = await side.meet();
    const heard = [];
    for (let number = 0; number < 40; number += 1) {
      const { client, socket } = await beside(side, main.client, `/c${number}`);
      await side.mark(socket.nsp, [client]);
      heard.push(client.heard[0][1]);
      client.disconnect();
      await until(() => !side.io._nsps.has(`/c${number}`));
    }
    assert.equal(new Set(heard).size, 40);
    return { heard, names: names(side.io) };
  },
});

/** What becomes of a client's CONNECT. */
const came = (client) => Promise.race([event(client, "connect").then(() => "connected"), refusal(client)]);

describe("more namespaces than there may be", () => {
  const at = withDaemon(["--set", "link.namespaces_max=8", "--set", "limits.namespaces_max=12"]);
  const isText = process.env.UPSTREAM_PARSER === undefined;

  test("of an application: a client is refused a new one, and nobody is locked out of those that are there, or that the server makes", { skip: !isText }, async () => {
    await outcome(at, {}, async (side) => {
      side.io.of(/^\/tenant-\d+$/);
      const { client } = await side.meet();
      const ask = (namespace) => came(side.watch(client.io.socket(namespace)));
      const asked = [];
      for (let number = 0; number < 10; number += 1) asked.push(await ask(`/tenant-${number}`));
      const refused = ["the application has as many namespaces as it may have", { code: "RW-2616" }];
      // With the main one these are eight.
      assert.deepEqual(asked, [...Array(7).fill("connected"), refused, refused, refused]);
      await side.meet({ namespace: "/tenant-3" });
      side.io.of("/late");
      await side.mark();
      await side.meet({ namespace: "/late" });
      assert.deepEqual([client.connected, client.disconnects], [true, []]);
      const lines = at.daemon.log().split("\n").filter((line) => line.includes("RW-2616"));
      assert.equal(lines.length, 1, "the same is told once in a minute");
      assert.match(lines[0], /WARN.*as many namespaces as it may have.*application="default" namespace="\/tenant-7" namespaces=8/);
    });
  });

  test("of a client: it is refused one more, and has its others", { skip: !isText }, async () => {
    await outcome(at, {}, async (side) => {
      const names = Array.from({ length: 16 }, (_, number) => `/fixed-${number}`);
      names.forEach((name) => side.io.of(name));
      const { client } = await side.meet();
      await side.mark();
      const asked = await Promise.all(names.map((name) => came(side.watch(client.io.socket(name)))));
      const refused = ["the session has as many namespaces as it may have", { code: "RW-2010" }];
      assert.deepEqual(asked, [...Array(11).fill("connected"), ...Array(5).fill(refused)]);
      // One that is left makes room for another one, in one breath.
      client.io.socket(names[0]).disconnect();
      assert.equal(await came(client.io.socket(names[15]).connect()), "connected");
      assert.deepEqual(client.disconnects, []);
    });
  });
});
