// Servers of one application: stock ones with a cluster adapter, and workers behind the daemon; two of them, and three, where what goes to the others, or is
// gathered from them, could come to one alone.
import { event, until } from "../it/daemon.mjs";
import { alike, rejected, thrown } from "./both.mjs";

/** Servers, a client of each, and one more room that all clients are in. */
async function inRoom(side, count = 2) {
  const all = await side.peers(count);
  for (const [at, { io, client, socket }] of all.entries()) {
    socket.data.name = "abc"[at];
    socket.join("room");
    // What one server joins the others know when they hear of it from there, or when the first one was heard by a client.
    await side.mark(io, [client]);
  }
  return all;
}

const heardBy = (all) => all.map(({ client }) => client.heard);
const roomsOf = (all) => all.map(({ socket }) => [...socket.rooms].slice(1).sort());

/** Whom broadcasts of a's server reach. */
const REACHES = {
  "io": (a) => a.io,
  "io.to": (a) => a.io.to("room"),
  "io.to nobody": (a) => a.io.to("nobody"),
  "io.to the other's id": (a, b) => a.io.to(b.socket.id),
  "io.except the other's id": (a, b) => a.io.except(b.socket.id),
  "io.to except its own": (a) => a.io.to("room").except(a.socket.id),
  "io.local": (a) => a.io.local,
  "io.local.to the other's id": (a, b) => a.io.local.to(b.socket.id),
  "socket.broadcast": (a) => a.socket.broadcast,
  "socket.to": (a) => a.socket.to("room"),
  "socket.local.to": (a) => a.socket.local.to("room"),
  "socket.compress.to": (a) => a.socket.compress(true).to("room"),
};

for (const [count, title] of [[2, "two servers"], [3, "three servers"]]) alike(`${title}: all others are reached`, { serves: false }, {
  async "whom a broadcast of one reaches"(side) {
    const [a, b, ...rest] = await inRoom(side, count);
    for (const [name, operator] of Object.entries(REACHES)) operator(a, b).emit("told", name, Buffer.of(1));
    await side.mark(a.io);
    // Stock servers speak to their own clients later than to the others', when it is not local.
    return { a: a.client.heard.sort(), others: heardBy([b, ...rest]) };
  },

  async "fetchSockets finds all, or those that are meant"(side) {
    const [a, b, ...rest] = await inRoom(side, count);
    for (const { socket } of rest) socket.join("far");
    for (const { io, client } of rest) await side.mark(io, [client]);
    const of = async (operator) => (await operator.fetchSockets()).map(({ data }) => data.name).sort();
    const operators = [a.io, b.io.in("room"), a.io.in("far"), a.io.in(b.socket.id), a.io.except(b.socket.id), a.io.in("room").except("far"), a.io.local, a.io.in("nobody")];
    return Promise.all(operators.map(of));
  },

  async "what another server has said a moment before counts for who is moved"(side) {
    const all = await inRoom(side, count);
    const [a, last] = [all[0], all.at(-1)];
    for (let round = 0; round < 10; round += 1) {
      const [here, there, gone] = ["here", "there", "gone"].map((name) => `${name} ${round}`);
      for (const { socket } of [a, last]) socket.join([here, gone]);
      a.io.to(here).emit("told", "to", round);
      a.io.except(gone).emit("told", "except", round);
      a.io.in(here).socketsJoin(there);
      a.io.socketsLeave(gone);
      await until(() => [a, last].every(({ socket: { rooms } }) => rooms.has(there) && !rooms.has(gone)));
      a.io.to(there).emit("told", round);
    }
    last.socket.join("out");
    a.io.in("out").disconnectSockets();
    await until(() => last.client.disconnects.length === 1);
    await side.mark(a.io);
    return { rooms: roomsOf(all), heard: heardBy(all), disconnects: all.map(({ client }) => client.disconnects) };
  },

  async "socketsJoin and socketsLeave of all, of those in a room, and of one, and what is said behind them"(side) {
    const all = await inRoom(side, count);
    const [a, b] = all;
    a.io.socketsJoin(["x", "y"]);
    a.io.in("x").emit("told", "all in x");
    a.io.in("room").except(a.socket.id).socketsLeave("y");
    a.io.in("y").emit("told", "a alone is left in y");
    a.io.in(b.socket.id).socketsLeave("x");
    a.io.in("x").emit("told", "b left x");
    a.io.socketsJoin("end");
    await side.mark(a.io);
    await until(() => all.every(({ socket }) => socket.rooms.has("end")));
    return { heard: heardBy(all), rooms: roomsOf(all), found: (await a.io.in("x").fetchSockets()).length };
  },

  async "disconnectSockets of one of the others', and of all but its own, the namespace alone and the connection"(side) {
    const [a, b, ...rest] = await inRoom(side, count);
    const reasons = [b, ...rest].map(({ socket }) => { const said = []; socket.on("disconnect", (reason) => said.push(reason)); return said; });
    a.io.in(b.socket.id).disconnectSockets();
    a.io.emit("told", "b is gone");
    await until(() => b.client.disconnects.length === 1);
    // Looked at now: the client itself closes the connection that it has nothing on any more.
    const open = b.io.engine.clientsCount;
    await side.mark(a.io);
    const between = [open, [a, b, ...rest].map(({ client }) => client.connected), heardBy([a, b, ...rest])];
    b.client.connect();
    const again = await side.met(b.client);
    again.socket.on("disconnect", (reason) => reasons[0].push(reason));
    a.io.except(a.socket.id).disconnectSockets(true);
    await until(() => b.client.disconnects.length === 2 && rest.every(({ client }) => client.disconnects.length === 1));
    await until(() => [b, ...rest].every(({ io }) => io.engine.clientsCount === 0));
    return { between, reasons, ended: [b, ...rest].map(({ client }) => client.disconnects), own: a.client.connected, found: (await a.io.fetchSockets()).length };
  },

  async "serverSideEmit is heard by all others, and what they answer is gathered"(side) {
    const all = await side.peers(count);
    const heard = [];
    for (const [at, { io }] of all.entries()) {
      io.on("hello", (value) => heard.push(["abc"[at], value]));
      io.on("who", (answer) => answer("abc"[at]));
    }
    all[0].io.serverSideEmit("hello", "from a");
    all[1].io.serverSideEmit("hello", "from b");
    return [(await all[0].io.serverSideEmitWithAck("who")).sort(), (await all[1].io.serverSideEmitWithAck("who")).sort(), heard.sort()];
  },

  async "emitWithAck gathers answers from the clients of all"(side) {
    const all = await inRoom(side, count);
    const [a, b] = all;
    for (const { client, socket } of all) client.on("ask", (value, answer) => answer([socket.data.name, value]));
    const ask = async (operator, value) => (await operator.timeout(3_000).emitWithAck("ask", value)).sort();
    return [
      await ask(a.io, 1), await ask(b.io.to("room"), Buffer.of(2)), await ask(a.socket.broadcast, 3), await ask(a.io.except(b.socket.id), 4), await ask(a.io.to(b.socket.id), 5), await ask(a.io.to("nobody"), 6),
    ];
  },

  async "emitWithAck when one of the others does not answer says who did"(side) {
    const [a, b, ...rest] = await inRoom(side, count);
    for (const { client, socket } of [a, ...rest]) client.on("ask", (answer) => answer(socket.data.name));
    b.client.on("told", () => {});
    return a.io.timeout(400).emitWithAck("ask").catch((error) => [error.message, error.responses.sort()]);
  },

  async "one that closes is not counted any more, and the others go on"(side) {
    const [a, b, ...rest] = await inRoom(side, count);
    const gone = event(b.client, "disconnect");
    await b.io.close();
    const [reason] = await gone;
    for (const { io } of [a, ...rest]) await until(async () => await io.of("/").adapter.serverCount() === count - 1);
    a.io.emit("told", 1);
    await side.mark(a.io, [a, ...rest].map(({ client }) => client));
    for (const { io } of rest) io.on("who", (answer) => answer("c"));
    return { reason, heard: heardBy([a, ...rest]), found: (await a.io.fetchSockets()).length, answers: await a.io.serverSideEmitWithAck("who") };
  },
});

alike("two servers", { serves: false }, {

  async "they count each other"(side) {
    const [a, b] = await side.pair();
    return [await a.io.of("/").adapter.serverCount(), await b.io.of("/").adapter.serverCount(), a.io.engine.clientsCount, b.io.engine.clientsCount, a.io.sockets.sockets.size];
  },

  async "fetchSockets finds the other's, with what is known of it"(side) {
    const [a, b] = await inRoom(side);
    const found = await a.io.in("room").fetchSockets();
    const remote = found.find(({ id }) => id === b.socket.id);
    const { headers, query, address, auth, xdomain, secure, url } = remote.handshake;
    const of = async (operator) => (await operator.fetchSockets()).map(({ data }) => data.name).sort();
    return {
      names: [await of(a.io), await of(b.io.in("room")), await of(a.io.in(b.socket.id)), await of(a.io.except(b.socket.id)), await of(a.io.local), await of(a.io.in("nobody"))],
      remote: { rooms: [...remote.rooms].slice(1), data: remote.data, agent: typeof headers.host, query: query.EIO, address, auth, xdomain, secure, path: url.split("?")[0] },
    };
  },

  async "a socket of the other that was fetched: told, asked, moved and ended"(side) {
    const [a, b] = await inRoom(side);
    b.client.on("ask", (value, answer) => answer(value, "more"));
    const [remote] = await a.io.in(b.socket.id).fetchSockets();
    remote.emit("told", 1, Buffer.of(2));
    const answer = await remote.timeout(3_000).emitWithAck("ask", Buffer.of(3));
    const late = await rejected(remote.timeout(50).emitWithAck("nobody answers"));
    remote.join("new");
    remote.leave("room");
    await until(() => b.socket.rooms.has("new") && !b.socket.rooms.has("room"));
    a.io.to("new").emit("told", "in the new room");
    a.io.to("room").emit("told", "not in the old one");
    await side.mark(a.io);
    const heard = b.client.heard.filter(([name]) => name === "told");
    remote.disconnect(true);
    await until(() => b.client.disconnects.length === 1);
    return { answer, late, heard, ended: b.client.disconnects };
  },

  async "socketsJoin and socketsLeave of the other's, and what is said behind them"(side) {
    const [a, b] = await inRoom(side);
    a.io.socketsJoin(["x", "y"]);
    a.io.in("x").emit("told", "all in x");
    a.io.in("room").except(a.socket.id).socketsLeave("y");
    a.io.in("y").emit("told", "b left y");
    a.io.local.socketsJoin("here");
    a.io.in("here").emit("told", "a alone");
    await side.mark(a.io);
    await until(() => b.socket.rooms.has("x") && !b.socket.rooms.has("y"));
    return { heard: heardBy([a, b]), rooms: roomsOf([a, b]) };
  },

  async "what is asked of the other server stands behind what became of its sockets"(side) {
    const [a, b] = await inRoom(side);
    b.io.on("rooms", (answer) => answer([...b.socket.rooms].slice(1).sort()));
    const told = [];
    for (let round = 0; round < 20; round += 1) {
      a.io.in(b.socket.id).socketsJoin("x");
      const [joined, rooms] = await Promise.all([a.io.in("x").fetchSockets(), a.io.serverSideEmitWithAck("rooms")]);
      a.io.in("x").socketsLeave("x");
      told.push([joined.length, rooms, (await a.io.in("x").fetchSockets()).length]);
    }
    return told;
  },

  async "a broadcast stands behind what was asked of the other's sockets, and the next one behind it"(side) {
    const [a, b] = await inRoom(side);
    b.client.on("ask", (answer) => answer(1));
    a.client.on("ask", (answer) => answer(2));
    for (let round = 0; round < 50; round += 1) {
      a.io.in(b.socket.id).socketsJoin(`room ${round}`);
      a.io.to(`room ${round}`).emit("told", round, Buffer.of(round));
      a.io.emit("told", "all", round);
      // With a parser of one's own each server asks its own clients, when it hears of it.
      if (round === 20 && process.env.UPSTREAM_PARSER === undefined) a.io.timeout(3_000).emit("ask", () => {});
      a.io.in(b.socket.id).socketsLeave(`room ${round}`);
      a.io.to(`room ${round}`).emit("told", "nobody");
      a.io.volatile.compress(false).except("nobody").emit("told", "behind", round);
    }
    await side.mark(a.io);
    // Stock servers ask their own clients at once, and tell them a moment later. A volatile one may come or not.
    const own = a.client.heard.filter(([name, what]) => name !== "ask" && what !== "behind");
    const others = b.client.heard.filter(([, what]) => what !== "behind").map(([name, ...values]) => (name === "ask" ? [name] : [name, ...values]));
    return { own, others };
  },

  async "a broadcast behind disconnectSockets does not reach the other's"(side) {
    const [a, b] = await inRoom(side);
    a.io.in(b.socket.id).disconnectSockets();
    a.io.emit("told", "too late");
    await side.mark(a.io, [a.client]);
    await until(() => b.client.disconnects.length === 1);
    return [a.client.heard, b.client.heard];
  },

  async "joins of the other's are known when it says so"(side) {
    const [a, b] = await inRoom(side);
    b.io.on("move", async (answer) => { b.io.in("room").local.socketsJoin("z"); answer(); });
    await a.io.serverSideEmitWithAck("move");
    a.io.in("z").emit("told", "b alone");
    await side.mark(a.io);
    return [a.client.heard, b.client.heard];
  },

  async "serverSideEmit is heard by the others only, in each namespace for itself"(side) {
    const [a, b] = await side.pair();
    for (const { io } of [a, b]) io.of("/chat");
    await side.acquaint("/chat");
    const heard = [];
    for (const [name, { io }] of [["a", a], ["b", b]]) {
      io.on("hello", (...values) => heard.push([name, "main", ...values]));
      io.of("/chat").on("hello", (...values) => heard.push([name, "chat", ...values]));
    }
    a.io.serverSideEmit("hello", "é", { n: [1, null] });
    a.io.of("/chat").serverSideEmit("hello");
    b.io.serverSideEmit("hello", Buffer.of(1, 2));
    for (const { io } of [a, b]) io.on("mark", (answer) => answer());
    for (const { io } of [a, b]) await io.serverSideEmitWithAck("mark");
    return heard.sort();
  },

  async "serverSideEmit with acknowledgements, by callback and by promise"(side) {
    const [a, b] = await side.pair();
    b.io.on("add", (one, other, answer) => answer(one + other));
    b.io.on("bytes", (bytes, answer) => answer(bytes.length));
    const byCallback = await new Promise((resolve) => { a.io.serverSideEmit("add", 1, 2, (...values) => resolve(values)); });
    return [byCallback, await a.io.serverSideEmitWithAck("add", 3, 4), await a.io.serverSideEmitWithAck("bytes", Buffer.alloc(100_000))];
  },

  async "reserved names of servers are refused"(side) {
    const [a] = await side.pair();
    return ["connection", "connect", "new_namespace"].map((name) => thrown(() => a.io.serverSideEmit(name)));
  },

  async "a namespace that one of them makes later works across both"(side) {
    await side.pair();
    for (const io of side.servers) io.of(/^\/d\d$/);
    const one = await side.meet({ namespace: "/d1", io: side.servers[0] });
    const other = await side.meet({ namespace: "/d1", io: side.servers[1] });
    for (const io of side.servers) io.of("/d1");
    await side.acquaint("/d1");
    one.io.of("/d1").emit("told", 1);
    await side.mark(one.io.of("/d1"), [one.client, other.client]);
    return [one.io === other.io, one.client.heard, other.client.heard];
  },
});
