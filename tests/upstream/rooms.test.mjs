// Rooms and whom a broadcast reaches; what a server asks of many sockets at once; the adapter's own view.
import { inspect, isDeepStrictEqual, types } from "node:util";
import { event, until } from "../it/daemon.mjs";
import { alike, rejected } from "./both.mjs";

/** What needs two servers, where stock's find each other. */
const alikeOverTwo = process.env.UPSTREAM_SERVERS === "1" ? () => {} : alike;

/** Five clients: a in one, b in two, c in both, d in none, e in three. */
async function five(side, transports = ["polling", "websocket"]) {
  const meetings = [];
  for (const rooms of [["one"], ["two"], ["one", "two"], [], ["three"]]) {
    const meeting = await side.meet({ transports: [transports[meetings.length % transports.length]] });
    meeting.socket.join(rooms);
    meetings.push(meeting);
  }
  return meetings;
}

/** Whom each broadcast reaches: `(io, socket of a, all sockets) => operator`. */
const REACHES = {
  "io": (io) => io,
  "io.to one": (io) => io.to("one"),
  "io.in two": (io) => io.in("two"),
  "io.to a list": (io) => io.to(["one", "three"]),
  "io.to twice, each client once": (io) => io.to("one").to("two").in("one"),
  "io.to nobody": (io) => io.to("nobody"),
  "io.to an id": (io, a, all) => io.to(all[3].id),
  "io.except": (io) => io.except("one"),
  "io.except a list and an id": (io, a, all) => io.except(["one", all[4].id]),
  "io.except twice": (io) => io.except("one").except("three"),
  "io.to except": (io) => io.to("one").except("two"),
  "io.except to, the other way round": (io) => io.except("two").to("one"),
  "io.except what it is to": (io) => io.to("one").except("one"),
  "io.local": (io) => io.local,
  "io.local.to": (io) => io.local.to("two"),
  "io.volatile.to": (io) => io.volatile.to("two"),
  "io.compress.to": (io) => io.compress(true).to("two"),
  "io.timeout.to without an acknowledgement": (io) => io.timeout(1_000).to("two"),
  "namespace.to": (io) => io.of("/").to("three"),
  "io.sockets": (io) => io.sockets,
  "socket.broadcast": (io, a) => a.broadcast,
  "socket.broadcast.to": (io, a) => a.broadcast.to("one"),
  "socket.to": (io, a) => a.to("one"),
  "socket.in a list": (io, a) => a.in(["one", "two"]),
  "socket.to its own id": (io, a) => a.to(a.id),
  "socket.to another's id": (io, a, all) => a.to(all[1].id),
  "socket.except": (io, a) => a.except("two"),
  "socket.to except": (io, a) => a.to("one").to("three").except("two"),
  "socket.local": (io, a) => a.local,
  "socket.volatile.broadcast": (io, a) => a.volatile.broadcast,
  "socket.compress.to": (io, a) => a.compress(false).to("two"),
  "socket.timeout.to": (io, a) => a.timeout(100).to("two"),
};

alike("whom a broadcast reaches", {}, {
  async "every operator, from one server to five clients"(side) {
    // A volatile event between two polls is in the list of differences.
    const meetings = await five(side, ["websocket"]);
    const sockets = meetings.map(({ socket }) => socket);
    const reached = {};
    for (const [name, operator] of Object.entries(REACHES)) {
      await side.mark();
      operator(side.io, sockets[0], sockets).emit("told", name);
      await side.mark();
      reached[name] = "abcde".split("").filter((_, number) => meetings[number].client.heard.some(([, what]) => what === name)).join("");
    }
    return { reached, counts: meetings.map(({ client }) => client.heard.length) };
  },

  /** Each way to look at a map of Sets: they are the Sets that the adapter has, at whatever time. */
  async "the adapter's maps, however they are looked at"(side) {
    const meetings = await five(side);
    const names = new Map(meetings.map(({ socket }, number) => [socket.id, "abcde"[number]]));
    const plain = (set) => [...set].map((one) => names.get(one) ?? one);
    const views = {};
    for (const [what, map] of [["rooms", side.io.sockets.adapter.rooms], ["sids", side.io.sockets.adapter.sids]]) {
      const key = what === "rooms" ? "one" : meetings[0].socket.id;
      const sets = {
        get: map.get(key),
        entries: [...map.entries()].find(([one]) => one === key)[1],
        values: [...map.values()].find((set) => set === map.get(key)),
        iterated: [...map].find(([one]) => one === key)[1],
        copied: new Map(map).get(key),
        from: Array.from(map, ([one, set]) => (one === key ? set : undefined)).find(Boolean),
        plain: Object.fromEntries(map)[key],
      };
      const visits = [];
      const self = {};
      map.forEach(function visit(set, one, whole) {
        visits.push([names.get(one) ?? one, plain(set), whole === map, this === self]);
        if (one === key) sets.visited = set;
      }, self);
      views[what] = {
        visits, keys: [...map.keys()].map((one) => names.get(one) ?? one), size: map.size, has: [map.has(key), map.has("nothing")], nothing: map.get("nothing"),
        isMap: [map instanceof Map, Object.prototype.toString.call(map), types.isMap(map)],
        same: Object.entries(sets).map(([how, set]) => [how, set === sets.get, set instanceof Set, set.constructor === Set]),
        iterators: [map.entries(), map.values(), map.keys(), map[Symbol.iterator]()].map((iterator) => [iterator[Symbol.iterator]() === iterator, Object.prototype.toString.call(iterator), types.isMapIterator(iterator)]),
        equal: [isDeepStrictEqual(new Map(map), new Map([...map])), isDeepStrictEqual([...map.values()], [...map.values()].map((set) => new Set(set)))],
        shown: inspect(map).replaceAll(/'[\w-]{20}'/g, (id) => names.get(id.slice(1, -1))),
      };
    }
    const { rooms } = side.io.sockets.adapter;
    // One that goes on looking while it changes.
    const iterator = rooms.entries();
    const seen = [];
    const step = () => { const { value, done } = iterator.next(); seen.push(done ? "done" : names.get(value[0]) ?? value[0]); };
    step();
    meetings[4].socket.leave("three");
    meetings[3].socket.join("four");
    while (seen.at(-1) !== "done") step();
    const held = rooms.get("one");
    const before = plain(held);
    meetings[3].socket.join("one");
    meetings[0].socket.leave("one");
    const changed = plain(held);
    side.io.in("one").socketsLeave("one");
    return { views, seen, before, changed, after: plain(held), gone: rooms.has("one"), again: rooms.get("one") };
  },

  async "who is joined to a room while its last member leaves is in it"(side) {
    const [a, b] = await five(side);
    const { adapter } = side.io.of("/");
    const events = [];
    for (const event of ["create-room", "delete-room"]) adapter.on(event, (room) => { if (room === "last") events.push(event); });
    a.socket.join("last");
    adapter.once("leave-room", () => b.socket.join("last"));
    a.socket.leave("last");
    const members = [...(adapter.rooms.get("last") ?? [])].map((id) => (id === b.socket.id ? "b" : id));
    side.io.to("last").emit("x", "to b");
    await side.mark();
    return { events, members, heard: b.client.heard, there: (await side.io.in("last").fetchSockets()).length };
  },

  async "an operator may be used again, and is not changed by what is made of it"(side) {
    const [a, b, c] = await five(side);
    const one = side.io.to("one");
    one.except("two").emit("x", "one but two");
    one.to("two").emit("x", "one and two");
    one.emit("x", "one");
    const broadcast = a.socket.broadcast;
    broadcast.emit("x", "others");
    a.socket.emit("x", "me: no flag stays");
    await side.mark();
    return [a, b, c].map(({ client }) => client.heard);
  },

  async "join and leave are at once, for rooms and for what is said behind them"(side) {
    const { client, socket } = await side.meet();
    const rooms = [];
    const see = (name) => rooms.push([...socket.rooms].map((room) => (room === socket.id ? "own" : room)));
    const tell = (number) => side.io.to("room").emit("told", number);
    see(tell(0));
    socket.join("room"); see(tell(1));
    socket.leave("room"); see(tell(2));
    socket.join(["room", "other", "room"]); see(tell(3));
    socket.leave("never joined"); see(tell(4));
    socket.leave(socket.id); see();
    socket.join(socket.id); see(tell(5)); side.io.to(socket.id).emit("told", "own room");
    await side.mark();
    return { rooms, heard: client.heard };
  },

  async "a room by a number"(side) {
    const { client, socket } = await side.meet();
    socket.join(7);
    side.io.to(7).emit("seven");
    await side.mark();
    return { heard: client.heard, rooms: socket.rooms.has(7) };
  },

  async "two hundred rooms"(side) {
    const { client, socket } = await side.meet();
    const names = [...Array(200).keys()].map((number) => `room ${number}`);
    socket.join(names.slice(0, 100));
    names.slice(100).forEach((name) => socket.join(name));
    for (const number of [0, 99, 199]) side.io.to(`room ${number}`).emit("told", number);
    await side.mark();
    return [client.heard, socket.rooms.size];
  },

  async "rooms of odd names"(side) {
    const { client, socket } = await side.meet();
    const names = ["", "é漢🤷", "a,b", "/x", "with space", "x".repeat(300), "__proto__"];
    socket.join(names);
    for (const name of names) side.io.to(name).emit("told", name.slice(0, 9));
    await side.mark();
    return client.heard;
  },
});

alikeOverTwo("rooms over two servers", { serves: false }, {
  /** It may be a client's own word, as in `socket.on("join", (room) => socket.join(room))`. */
  async "rooms with long names, over two servers"(side) {
    const [a, b] = await side.pair();
    const [long, other] = ["r".repeat(70_000), `${"r".repeat(69_999)}é`];
    for (const { socket } of [a, b]) socket.on("join", (room, answer) => { socket.join(room); answer([...socket.rooms].map((name) => name.length)); });
    const joined = [await a.client.emitWithAck("join", long), await b.client.emitWithAck("join", long), await b.client.emitWithAck("join", other)];
    await side.mark(a.io);
    await side.mark(b.io);
    a.io.to(long).emit("told", "both");
    a.socket.to(long).emit("told", "b");
    b.io.to(other).emit("told", "b too");
    b.io.to(long).except(other).emit("told", "a");
    a.io.in(other).socketsLeave(long);
    const found = await a.io.in(long).fetchSockets();
    a.io.to(long).emit("told", "a alone");
    await side.mark(a.io);
    await side.mark(b.io);
    return { joined, found: found.map(({ id, rooms }) => [id === a.socket.id, [...rooms].map((name) => name.length)]), heard: [a, b].map(({ client }) => client.heard.map(([, what]) => what).sort()), rooms: b.socket.rooms.has(other) };
  },
});

/** More than a frame of the link may have. */
const MUCH = 18 << 20;

alikeOverTwo("much is asked of another server", { serves: false }, {
  async "sockets with much data, and long answers"(side) {
    const [a, b] = await side.pair();
    b.socket.data.much = "x".repeat(MUCH);
    b.socket.data.bytes = Buffer.alloc(1 << 20, 7);
    b.io.on("tell", (length, answer) => answer("y".repeat(length)));
    // One behind the other, and at once with what is short.
    const asked = [a.io.fetchSockets(), a.io.serverSideEmitWithAck("tell", MUCH), a.io.serverSideEmitWithAck("tell", 3), a.io.fetchSockets()];
    const [first, [long], [short], second] = await Promise.all(asked);
    const seen = (sockets) => sockets.map(({ id, data }) => [id === b.socket.id, data.much?.length, data.bytes?.equals(b.socket.data.bytes)]).sort();
    return { first: seen(first), second: seen(second), long: long === "y".repeat(MUCH), short };
  },
});

alike("what the adapter says", {}, {
  async "create, join, leave and delete of rooms, in order"(side) {
    const events = [];
    let ids = new Map();
    const known = (value) => ids.get(value) ?? value;
    for (const name of ["create-room", "join-room", "leave-room", "delete-room"]) {
      side.io.of("/").adapter.on(name, (...values) => events.push([name, ...values]));
    }
    const a = await side.meet();
    const b = await side.meet();
    ids = new Map([[a.socket.id, "a"], [b.socket.id, "b"]]);
    a.socket.join(["x", "y"]);
    b.socket.join("x");
    a.socket.join("x");
    a.socket.leave("x");
    a.socket.leave("not there");
    b.socket.leave("x");
    side.io.in("y").socketsJoin(["z"]);
    side.io.socketsLeave("z");
    a.client.disconnect();
    await event(a.socket, "disconnect");
    return events.map(([name, ...values]) => [name, ...values.map(known)]);
  },

  async "rooms and sids, and what is left of them behind the last client"(side) {
    const meetings = await five(side);
    const adapter = side.io.sockets.adapter;
    const letter = new Map(meetings.map(({ socket }, number) => [socket.id, "abcde"[number]]));
    const known = (name) => letter.get(name) ?? name;
    const view = () => ({
      rooms: [...adapter.rooms].map(([room, members]) => [known(room), [...members].map(known)]),
      sids: [...adapter.sids].map(([id, rooms]) => [known(id), [...rooms].map(known)]),
      socketRooms: [...adapter.socketRooms(meetings[2].socket.id) ?? []].map(known),
    });
    const before = view();
    const named = [...await adapter.sockets(new Set(["one"]))].map(known).sort();
    for (const { client, socket } of meetings) {
      const gone = event(socket, "disconnect");
      client.disconnect();
      await gone;
    }
    return { before, named, after: [adapter.rooms.size, adapter.sids.size], servers: await adapter.serverCount() };
  },

  async "rooms are there while a socket disconnects, and gone behind it"(side) {
    const { client, socket } = await side.meet();
    socket.join("room");
    const seen = [];
    socket.on("disconnecting", (reason) => { seen.push([reason, socket.rooms.size, socket.rooms.has("room"), socket.connected]); });
    const gone = event(socket, "disconnect");
    client.disconnect();
    const [reason] = await gone;
    return [...seen, [reason, socket.rooms.size, socket.connected]];
  },

  async "said while disconnecting: the room hears that somebody goes"(side) {
    const stays = await side.meet();
    const goes = await side.meet();
    stays.socket.join("room");
    goes.socket.join("room");
    goes.socket.on("disconnecting", () => { for (const room of goes.socket.rooms) if (room !== goes.socket.id) goes.socket.to(room).emit("goes", room); });
    goes.client.disconnect();
    await event(goes.socket, "disconnect");
    await side.mark();
    return stays.client.heard;
  },
});

alike("many sockets at once", {}, {
  async "fetchSockets: all, of rooms, without some; with data, rooms and handshake"(side) {
    const meetings = await five(side);
    meetings.forEach(({ socket }, number) => { socket.data.letter = "abcde"[number]; });
    const letters = async (promise) => (await promise).map(({ data }) => data.letter).sort().join("");
    const [{ id, rooms, data, handshake }] = await side.io.in("three").fetchSockets();
    return {
      all: await letters(side.io.fetchSockets()),
      one: await letters(side.io.in("one").fetchSockets()),
      both: await letters(side.io.in(["one", "two"]).fetchSockets()),
      except: await letters(side.io.in("one").except("two").fetchSockets()),
      local: await letters(side.io.local.fetchSockets()),
      namespace: await letters(side.io.of("/").in("two").fetchSockets()),
      others: await letters(meetings[0].socket.broadcast.fetchSockets()),
      found: { id: id === meetings[4].socket.id, rooms: [...rooms].map((room) => (room === id ? "own" : room)), data, query: handshake.query.EIO },
    };
  },

  async "a socket that was fetched may be told, moved and ended"(side) {
    const [a] = await five(side);
    const [fetched] = await side.io.in(a.socket.id).fetchSockets();
    a.client.on("ask", (answer) => answer("a"));
    fetched.emit("told", 1);
    fetched.join(["new", "newer"]);
    fetched.leave("one");
    side.io.to("new").emit("told", 2);
    side.io.to("one").emit("told", 3);
    const answers = await fetched.timeout(3_000).emitWithAck("ask");
    const rooms = [...a.socket.rooms].slice(1);
    fetched.disconnect();
    await until(() => a.client.disconnects.length === 1);
    return { heard: a.client.heard.filter(([name]) => name === "told"), answers, rooms, ended: a.client.disconnects };
  },

  async "socketsJoin and socketsLeave, by room and by exception"(side) {
    const meetings = await five(side);
    side.io.in("one").socketsJoin("new");
    side.io.to("new").emit("told", "one joined");
    side.io.in("one").except("two").socketsLeave(["new", "one"]);
    side.io.to("new").emit("told", "a left");
    side.io.except("one").socketsJoin(["x", "y"]);
    meetings[3].socket.to("x").socketsLeave("x");
    side.io.to("x").emit("told", "only d left in x");
    side.io.socketsLeave("three");
    await side.mark();
    return meetings.map(({ client, socket }) => [client.heard, [...socket.rooms].slice(1).sort()]);
  },

  async "disconnectSockets: of a room, and all with their connections"(side) {
    const meetings = await five(side);
    const reasons = [];
    meetings.forEach(({ socket }, number) => socket.on("disconnect", (reason) => reasons.push(["abcde"[number], reason])));
    side.io.in("one").disconnectSockets();
    await until(() => meetings[0].client.disconnects.length + meetings[2].client.disconnects.length === 2);
    await side.mark();
    const left = side.io.sockets.sockets.size;
    side.io.except("three").disconnectSockets(true);
    await until(() => meetings[1].client.disconnects.length + meetings[3].client.disconnects.length === 2);
    await side.mark();
    return { reasons, left, ended: meetings.map(({ client }) => client.disconnects) };
  },

  async "emitWithAck to a room gathers an answer of each"(side) {
    const meetings = await five(side);
    meetings.forEach(({ client }, number) => client.on("ask", (value, answer) => answer([value, "abcde"[number], Buffer.of(number)])));
    const sorted = async (promise) => (await promise).sort(([, one], [, other]) => (one < other ? -1 : 1));
    return {
      all: await sorted(side.io.timeout(3_000).emitWithAck("ask", "all")),
      room: await sorted(side.io.to("one").timeout(3_000).emitWithAck("ask", "room")),
      others: await sorted(meetings[0].socket.broadcast.timeout(3_000).emitWithAck("ask", Buffer.of(9))),
      except: await sorted(side.io.except("one").timeout(3_000).emitWithAck("ask", 1)),
    };
  },

  async "by a callback, whose first argument is the error"(side) {
    const meetings = await five(side);
    meetings.forEach(({ client }) => client.on("ask", (answer) => answer("here", "and more, which is not gathered")));
    const calls = [];
    await new Promise((resolve) => { side.io.to("one").timeout(3_000).emit("ask", (...values) => { calls.push(values); resolve(); }); });
    return calls;
  },

  async "some do not answer: the error has the answers of the others"(side) {
    const meetings = await five(side);
    meetings.slice(0, 2).forEach(({ client }, number) => client.on("ask", (answer) => answer("ab"[number])));
    const calls = [];
    await new Promise((resolve) => { side.io.timeout(400).emit("ask", (...values) => { calls.push(values); resolve(); }); });
    const byPromise = await side.io.timeout(400).emitWithAck("ask").catch((error) => [error.name, error.message, error.responses.sort()]);
    return { byCallback: calls.map(([error, answers]) => [error.message, answers.sort()]), byPromise };
  },

  async "nobody is there to answer"(side) {
    const byCallback = await new Promise((resolve) => { side.io.to("nobody").timeout(50).emit("ask", (...values) => resolve(values)); });
    return [byCallback, await side.io.timeout(50).emitWithAck("ask"), await rejected(side.io.to("nobody").timeout(50).emitWithAck("ask"))];
  },

  async "one goes instead of answering"(side) {
    const [a, b] = await five(side);
    a.client.on("ask", () => a.client.disconnect());
    b.client.on("ask", (answer) => answer("b"));
    return side.io.to([a.socket.id, b.socket.id]).timeout(400).emitWithAck("ask").catch((error) => [error.message, error.responses]);
  },
});
