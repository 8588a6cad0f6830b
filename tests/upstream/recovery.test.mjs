// Connection state recovery: beside stock socket.io, and then what stock cannot do: on another worker, behind a crash, under load.
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { fileURLToPath } from "node:url";
import { createEmitter } from "../../packages/realtime-sdk/dist/esm/emitter/index.js";
import { event, serve, until } from "../it/daemon.mjs";
import { refusals, total } from "../it/metrics.mjs";
import { between } from "./between.mjs";
import { alike } from "./both.mjs";
import { on } from "./stage.mjs";

const RECOVERY = { maxDisconnectionDuration: 60_000 };
const CUTS = Number(process.env.UPSTREAM_CUTS ?? 20);

/** A client that has an offset, and the socket that its server has of it. */
async function meet(side, options = {}) {
  const meeting = await side.meet(options);
  meeting.socket.emit("hello", 0);
  await until(() => meeting.client.heard.length === 1);
  return meeting;
}

/** Its connection ends; resolves with the reason when its server knows. */
async function cut({ client, socket }) {
  const gone = event(socket, "disconnect");
  client.io.engine.close();
  const [reason] = await gone;
  await until(() => !client.connected);
  return reason;
}

/** It comes back; what was broadcast until then is there when this resolves. */
async function back(side, client, namespace) {
  const met = side.met(client, namespace);
  client.connect();
  const { io, socket } = await met;
  if (namespace === undefined) await side.mark(io, [client]);
  return { io, client, socket };
}

/** What came, without the offsets behind it. */
const heard = (client) => client.heard.map(([name, value]) => [name, Buffer.isBuffer(value) ? value.toString() : value]);

/** What becomes of a client that went in some way. */
async function returned(side, go, options) {
  const { client, socket } = await meet(side, options);
  const { id } = socket;
  const gone = event(socket, "disconnect");
  await go({ client, socket });
  const [reason] = await gone;
  await until(() => !client.connected);
  side.io.emit("missed", 1);
  const again = await back(side, client);
  return { reason, recovered: [client.recovered, again.socket.recovered], same: again.socket.id === id, heard: heard(client) };
}

const pause = (ms) => new Promise((resolve) => { setTimeout(resolve, ms); });

alike("a client that lost its connection", { options: { connectionStateRecovery: RECOVERY } }, {
  async "has its id, its rooms and its data again, and hears what it missed in order"(side) {
    const { client, socket } = await meet(side);
    const { id } = socket;
    socket.join(["in", "also"]);
    Object.assign(socket.data, { name: "n", list: [1, { deep: true }] });
    const reason = await cut({ client, socket });
    side.io.emit("all", 1);
    side.io.to("in").emit("room", 2);
    side.io.to("elsewhere").emit("room", 3);
    side.io.to(["in", "also"]).emit("rooms", 4);
    side.io.to(id).emit("own", 5);
    side.io.emit("binary", Buffer.from("six"));
    const again = await back(side, client);
    side.io.to("in").emit("live", 7);
    await side.mark();
    return {
      reason, recovered: [client.recovered, again.socket.recovered], same: [again.socket.id === id, client.id === id],
      rooms: [...again.socket.rooms].map((room) => (room === id ? "own" : room)).sort(), data: again.socket.data, heard: heard(client),
    };
  },

  async "is not told what was said without it: except, other rooms, rooms that it had left"(side) {
    const { client, socket } = await meet(side);
    socket.join(["in", "left"]);
    socket.leave("left");
    await cut({ client, socket });
    side.io.except("in").emit("not", 1);
    side.io.except("left").emit("yes", 2);
    side.io.to("left").emit("not", 3);
    side.io.to("in").except(socket.id).emit("not", 4);
    side.io.to("in").except("elsewhere").emit("yes", 5);
    await back(side, client);
    return heard(client);
  },

  async "misses what is volatile or wants an acknowledgement"(side) {
    const { client, socket } = await meet(side);
    await cut({ client, socket });
    side.io.volatile.emit("volatile", 1);
    const answers = await side.io.timeout(100).emitWithAck("asked", 2).catch(() => "late");
    side.io.compress(false).emit("kept", 3);
    await back(side, client);
    return [answers, heard(client)];
  },

  async "keeps its private id over several cuts, and hears each message once"(side) {
    const { client, socket } = await meet(side);
    const pids = [client._pid];
    let current = socket;
    for (let round = 0; round < 4; round += 1) {
      side.io.emit("before", round);
      await side.mark();
      await cut({ client, socket: current });
      side.io.emit("between", round);
      current = (await back(side, client)).socket;
      pids.push(client._pid);
    }
    return { pids: new Set(pids).size, type: typeof pids[0], recovered: current.recovered, heard: heard(client) };
  },

  async "starts anew when it has never heard anything: it has no offset"(side) {
    const { client, socket } = await side.meet();
    const { id } = socket;
    await cut({ client, socket });
    side.io.emit("missed", 1);
    const again = await back(side, client);
    return [client.recovered, again.socket.recovered, again.socket.id === id, heard(client)];
  },

  async "starts anew when it says a private id or an offset that nobody gave out"(side) {
    const { client, socket } = await meet(side);
    const { _pid: pid, _lastOffset: offset } = client;
    await cut({ client, socket });
    const outcomes = [];
    for (const auth of [{ pid: "guess", offset }, { pid, offset: "guess" }, { pid, offset: 1 }, { pid: [pid], offset }, { pid: "p".repeat(70_000), offset }]) {
      const other = await side.meet({ auth });
      outcomes.push([other.client.recovered, other.socket.recovered, other.socket.id === socket.id]);
    }
    const again = await back(side, client);
    return [outcomes, client.recovered, again.socket.recovered];
  },

  async "is kept if the network or the server took its connection, and not if it or the server took leave"(side) {
    return [
      await returned(side, ({ client }) => client.io.engine.close()),
      await returned(side, ({ client }) => client.io.engine.transport.ws.close()),
      await returned(side, ({ socket }) => socket.conn.close()),
      await returned(side, ({ client }) => client.disconnect()),
      await returned(side, ({ socket }) => socket.disconnect()),
      await returned(side, ({ socket }) => socket.disconnect(true)),
    ];
  },

  "is kept over polling, too": (side) => returned(side, ({ client }) => client.io.engine.close(), { transports: ["polling"] }),

  async "is kept in each of its namespaces"(side) {
    const sockets = new Map();
    for (const name of ["/one", "/two"]) {
      side.io.of(name).on("connection", (socket) => {
        sockets.set(name, socket);
        socket.join(`room of ${name}`);
        socket.emit("hello", name);
      });
    }
    const clients = ["/one", "/two"].map((name) => side.client({ namespace: name, forceNew: false, multiplex: true }));
    await until(() => clients.every((client) => client.heard.length === 1));
    const ids = clients.map(({ id }) => id);
    const gone = [...sockets.values()].map((socket) => event(socket, "disconnect"));
    clients[0].io.engine.close();
    await Promise.all(gone);
    side.io.of("/one").to("room of /one").emit("told", 1);
    side.io.of("/two").to("room of /one").emit("told", 2);
    side.io.of("/two").emit("told", 3);
    clients.forEach((client) => client.connect());
    // What a recovered socket hears on connection is behind what it missed.
    await until(() => clients.every((client) => client.heard.filter(([name]) => name === "hello").length === 2));
    return clients.map((client, number) => [client.recovered, client.id === ids[number], heard(client)]);
  },

  async "is said goodbye to by its server's handlers as ever"(side) {
    const { client, socket } = await meet(side);
    const events = [];
    socket.on("disconnecting", (reason) => events.push(["disconnecting", reason, socket.rooms.size]));
    socket.on("disconnect", (reason) => events.push(["disconnect", reason, socket.rooms.size]));
    await cut({ client, socket });
    const again = await back(side, client);
    return [events, again.socket === socket, side.io.sockets.sockets.size];
  },

  async "gives what its server says while it connects behind what it missed"(side) {
    side.io.on("connection", (socket) => socket.emit("welcome", socket.recovered));
    const { client, socket } = await side.meet();
    await until(() => client.heard.length === 1);
    await cut({ client, socket });
    side.io.emit("missed", 1);
    await back(side, client);
    return heard(client);
  },

  async "hears what it missed before its event connect"(side) {
    const { client, socket } = await meet(side);
    const order = [];
    for (const name of ["missed", "connect", "live"]) client.on(name, () => order.push(name));
    const packets = [];
    await cut({ client, socket });
    side.io.emit("missed");
    side.io.emit("missed", Buffer.from("bytes"));
    client.io.on("open", () => client.io.engine.on("message", (data) => packets.push(typeof data === "string" ? data.slice(0, 2) : "bytes")));
    side.io.once("connection", (again) => again.emit("live"));
    await back(side, client);
    return [order, side.options.parser ? [] : packets.slice(0, 4)];
  },

  async "is found by fetchSockets and reached by its id when it is back"(side) {
    const { client, socket } = await meet(side);
    socket.join("in");
    await cut({ client, socket });
    const between = (await side.io.fetchSockets()).length;
    await back(side, client);
    side.io.to(socket.id).emit("own", 1);
    await side.mark();
    return [between, (await side.io.in("in").fetchSockets()).map(({ id }) => id === socket.id), heard(client)];
  },
});

alike("a client that comes too late", { options: { connectionStateRecovery: { maxDisconnectionDuration: 150 } } }, {
  async "starts anew"(side) {
    const { client, socket } = await meet(side);
    const { id } = socket;
    await cut({ client, socket });
    side.io.emit("missed", 1);
    await pause(400);
    const again = await back(side, client);
    return [client.recovered, again.socket.recovered, again.socket.id === id, again.socket.data, heard(client)];
  },
});

for (const skipMiddlewares of [true, false]) {
  alike(`middlewares with skipMiddlewares ${skipMiddlewares}`, { options: { connectionStateRecovery: { ...RECOVERY, skipMiddlewares } } }, {
    async "are run or not"(side) {
      const runs = [];
      side.io.use((socket, next) => { runs.push(socket.recovered); setImmediate(next); });
      const { client, socket } = await meet(side);
      await cut({ client, socket });
      side.io.emit("missed", 1);
      await back(side, client);
      return { runs, recovered: client.recovered, heard: heard(client) };
    },

    async "may refuse who comes back, who may try again"(side) {
      let refuses = false;
      side.io.use((socket, next) => next(refuses ? new Error("not now") : undefined));
      const { client, socket } = await meet(side);
      await cut({ client, socket });
      refuses = true;
      const outcome = await back(side, client).then(() => "let in", (error) => error.message);
      refuses = false;
      if (outcome !== "let in") await back(side, client);
      return [outcome, client.recovered];
    },
  });
}

const RECOVERING = fileURLToPath(new URL("recovering.mjs", import.meta.url));
const worker = (stage, ...more) => stage.join([RECOVERING, stage.link, ...more]);
const who = (socket) => socket.emitWithAck("who");

/** A client that has an offset. */
async function known(stage, auth, options = {}) {
  const socket = await stage.connected({ auth, reconnection: false, ...options });
  await socket.emitWithAck("say", [socket.id], "hello");
  await until(() => socket.told.length === 1);
  return socket;
}

async function cutOff(socket) {
  socket.io.engine.close();
  await until(() => !socket.connected);
}

async function backAgain(socket) {
  const came = event(socket, "connect");
  socket.connect();
  await came;
}

const told = (socket) => socket.told.map(([value]) => value);

// The workers of the rest have no parser of their own.
const isPlain = process.env.UPSTREAM_PARSER === undefined;

describe("behind the daemon", { skip: !isPlain }, () => {
  const SHARDS = { args: ["--shards", "2"] };

  test("a client comes back on another worker", on(SHARDS, async (stage) => {
    await worker(stage);
    const socket = await known(stage, { rooms: ["in"], who: "ann" });
    const before = await who(socket);
    await worker(stage);
    const other = await stage.connected();
    await socket.emitWithAck("note", { noted: [1, "two"] });
    await cutOff(socket);
    await other.emitWithAck("say", ["in"], "missed");
    // The first one has more to do then than the second.
    await stage.connected();
    await stage.connected();
    await backAgain(socket);
    await other.emitWithAck("say", ["in"], "live");
    await until(() => socket.told.length === 3);
    const after = await who(socket);
    assert.notEqual(after.pid, before.pid);
    assert.deepEqual([socket.recovered, told(socket)], [true, ["hello", "missed", "live"]]);
    assert.deepEqual({ ...after, pid: 0 }, { ...before, pid: 0, recovered: true, data: { who: "ann", noted: [1, "two"] } });
    await until(async () => await total(stage.daemon, "ringway_upstream_sessions_recovered_total") === 1);
  }));

  test("what an emitter said meanwhile is heard, in its place", on(SHARDS, async (stage) => {
    await worker(stage);
    const socket = await known(stage, { rooms: ["in"], who: "ann" });
    const other = await stage.connected();
    const emitter = createEmitter({ url: stage.link });
    await emitter.ready;
    const heardByOther = (value) => until(() => other.told.some(([told]) => told === value));
    await cutOff(socket);
    emitter.to(["in", other.id]).emit("told", "from outside");
    await heardByOther("from outside");
    await other.emitWithAck("say", ["in"], "from within");
    emitter.volatile.to(["in", other.id]).emit("told", "volatile");
    emitter.to(["in", other.id]).emit("told", Buffer.from("bytes"));
    await until(() => other.told.some(([value]) => Buffer.isBuffer(value)));
    await backAgain(socket);
    await other.emitWithAck("say", ["in"], "live");
    await until(() => socket.told.length === 5);
    assert.deepEqual([socket.recovered, told(socket).map(String)], [true, ["hello", "from outside", "from within", "bytes", "live"]]);
    await emitter.close();
  }));

  test("its worker was killed meanwhile", on(SHARDS, async (stage) => {
    const first = await worker(stage);
    const socket = await known(stage, { rooms: ["in"], who: "ann" });
    const before = await who(socket);
    await worker(stage);
    const other = await stage.connected();
    await socket.emitWithAck("note", { noted: true });
    await cutOff(socket);
    await until(async () => (await total(stage.daemon, "ringway_upstream_sessions_waiting")) === 1);
    // What it was in the end is said behind that, and an answer of the same worker behind both.
    const witness = await stage.connected();
    assert.equal((await who(witness)).pid, first.pid);
    await stage.kill(first);
    await other.emitWithAck("say", ["in"], "missed");
    await backAgain(socket);
    await until(() => socket.told.length === 2);
    assert.deepEqual([socket.recovered, told(socket)], [true, ["hello", "missed"]]);
    const after = await who(socket);
    assert.deepEqual({ ...after, pid: 0 }, { ...before, pid: 0, recovered: true, data: { who: "ann", noted: true } });
  }));

  test("its worker was killed before, and it lost its connection while there was none", on(SHARDS, async (stage) => {
    const first = await worker(stage);
    const socket = await known(stage, { rooms: ["in"], who: "ann" });
    const before = await who(socket);
    await socket.emitWithAck("say", ["in"], "heard");
    await stage.kill(first);
    await until(async () => (await total(stage.daemon, "ringway_upstream_workers")) === 0);
    await cutOff(socket);
    await until(async () => (await total(stage.daemon, "ringway_upstream_sessions_waiting")) === 1);
    const returns = backAgain(socket);
    await worker(stage);
    await returns;
    const after = await who(socket);
    // Its data is what it was when it connected: nobody was there to say more.
    assert.deepEqual([socket.recovered, told(socket), after.id, after.rooms], [true, ["hello", "heard"], before.id, before.rooms]);
    await socket.emitWithAck("say", ["in"], "live");
    await until(() => socket.told.length === 3);
  }));

  test("its worker hangs, is killed, and never says what the socket was", on(SHARDS, async (stage) => {
    const first = await worker(stage);
    const socket = await known(stage, { rooms: ["in"] });
    const before = await who(socket);
    await worker(stage);
    const other = await stage.connected();
    first.child.kill("SIGSTOP");
    await cutOff(socket);
    await other.emitWithAck("say", ["in"], "missed");
    const returns = backAgain(socket);
    await until(async () => (await total(stage.daemon, "ringway_upstream_sessions_waiting")) === 1);
    await stage.kill(first);
    await returns;
    await until(() => socket.told.length === 2);
    const after = await who(socket);
    assert.deepEqual([socket.recovered, told(socket), after.id, after.rooms], [true, ["hello", "missed"], before.id, before.rooms]);
  }));

  test("a daemon that was restarted knows nobody, and says nothing wrong", on(SHARDS, async (stage) => {
    await worker(stage);
    const socket = await known(stage, { rooms: ["in"] });
    const { id } = socket;
    const { port } = stage.daemon;
    await stage.daemon.stop("SIGKILL");
    await until(() => !socket.connected);
    stage.daemon = await serve(stage.args, {}, { port });
    await backAgain(socket);
    await socket.emitWithAck("say", ["in"], "new");
    await until(() => socket.told.length === 2);
    assert.deepEqual([socket.recovered, socket.id === id, told(socket)], [false, false, ["hello", "new"]]);
  }));
});

// That the daemon holds clients back from workers that die again and again is another test, and so are rates: each request of the client that polls is a
// connection of its own, two to three hundred a second. One that is refused may be its poll and the next one its goodbye, so that nobody hears that its socket is free.
const CUT_ARGS = [
  "--shards", "2", "--set", "link.failures_max=0", "--set", "limits.connection_events_per_second=0", "--set", "limits.address_connections_per_second=0",
];
for (const moves of ["", ", which broadcast behind socketsJoin"]) test(`${CUTS} cuts under load, and workers that die${moves}: nothing is lost, doubled or out of order`, { timeout: 300_000, skip: !isPlain }, on({ args: CUT_ARGS }, async (stage) => {
  const unreliable = await between(0, stage.daemon.port);
  const url = `http://127.0.0.1:${unreliable.address.port}`;
  try {
    const begun = () => worker(stage, "count", ...(moves ? ["moves"] : []));
    const workers = [await begun(), await begun()];
    const clients = [["room-0", "room-1"], ["room-1", "room-2"], ["room-0", "room-1", "room-2"], ["room-2", "deaf"]].map((rooms, number) => {
      const client = stage.client.call({ ...stage, clients: stage.clients, url }, {
        auth: { rooms }, transports: [number === 2 ? "polling" : "websocket"], reconnectionDelay: 1, reconnectionDelayMax: 20 + 40 * number,
      });
      client.rooms = rooms;
      client.polls = number === 2;
      client.counted = new Map();
      client.connects = [];
      client.on("connect", () => client.connects.push(client.recovered));
      client.on("counted", (pid, counted, bytes) => {
        if (bytes) assert.equal(Buffer.from(bytes).toString(), `${counted}`);
        client.counted.set(pid, [...(client.counted.get(pid) ?? []), counted]);
      });
      return client;
    });
    const [deaf] = clients.splice(3, 1);
    await until(() => deaf.connected && clients.every((client) => client.connected));
    const sum = (client) => [...client.counted.values()].reduce((all, list) => all + list.length, 0);
    const grows = (by) => {
      const marks = clients.map((client) => sum(client) + by);
      return until(() => clients.every((client, number) => sum(client) >= marks[number]), 30_000);
    };
    await grows(10);
    for (let number = 0; number < CUTS; number += 1) {
      unreliable.cut({ resets: true });
      if (number % 8 === 5) {
        // One of the two, in turn.
        const [gone] = workers.splice(0, 1);
        await stage.kill(gone);
        workers.push(await begun());
      }
      // A client that polls may not notice: its next request takes another connection.
      await until(() => clients.every((client) => client.polls || client.connects.length > number + 1), 30_000);
      await grows(1 + Math.floor(Math.random() * 60));
    }
    for (const gone of workers) await stage.kill(gone);
    await worker(stage);
    // Behind what the dead ones had said.
    await Promise.all(clients.map((client) => client.emitWithAck("who")));
    const inVain = await total(stage.daemon, "ringway_upstream_sessions_refused_total");
    const refused = JSON.stringify(await refusals(stage.daemon));
    for (const client of clients) {
      assert.deepEqual(client.connects.slice(1).filter((recovered) => recovered !== true), [], `each time it was recovered; in vain: ${inVain}, refused: ${refused}`);
      for (const [pid, list] of client.counted) {
        const wanted = Array.from({ length: list.at(-1) - list[0] + 1 }, (_, at) => list[0] + at).filter((value) => client.rooms.includes(`room-${value % 3}`));
        const at = list.findIndex((value, index) => value !== wanted[index]);
        assert.equal(at, -1, `${client.rooms} of ${pid}, where ${list.slice(at - 3, at + 12)} is not ${wanted.slice(at - 3, at + 12)}; ${list.length} of ${wanted.length}`);
      }
    }
    assert.equal(sum(deaf), 0);
    for (const pid of new Set(clients.flatMap((client) => [...client.counted.keys()]))) {
      const last = clients.map((client) => client.counted.get(pid)?.at(-1) ?? 0);
      // What waits for others dies with its worker.
      assert.ok(moves || Math.max(...last) - Math.min(...last) < 3, `all of them heard ${pid} to its end: ${last}`);
    }
  } finally {
    unreliable.close();
  }
}));
