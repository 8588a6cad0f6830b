// `io.timeout().emitWithAck()` to rooms: the daemon asks the clients of all workers by one command, and gathers what they answer.
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import WebSocket from "ws";
import { event, until } from "../it/daemon.mjs";
import { total } from "../it/metrics.mjs";
import { Side, rejected, withDaemon } from "./both.mjs";
import { on } from "./stage.mjs";

describe("answers to a broadcast", () => {
  const at = withDaemon();

  /** Four clients, two of each worker, that answer with their number. */
  const behind = (body) => async () => {
    const side = new Side(at);
    try {
      const meetings = [...await side.pair(), await side.meet(), await side.meet()];
      meetings.forEach(({ client, socket }, number) => {
        socket.join("room");
        client.number = number;
      });
      for (const io of side.servers) await side.mark(io);
      const frames = [];
      for (const { ringway: { host } } of side.servers) {
        const { send } = host;
        host.send = (name, ...rest) => { frames.push(name); send(name, ...rest); };
      }
      await body({ side, meetings, frames, io: side.io });
    } finally {
      await side.close();
    }
  };
  const sorted = (answers) => answers.sort((one, other) => one - other);

  test("one command; each client's answer once, of all workers, those that were chosen", behind(async ({ side, meetings, frames, io }) => {
    meetings.forEach(({ client }) => client.on("ask", (add, answer) => answer(client.number + add)));
    assert.deepEqual(sorted(await io.timeout(5_000).emitWithAck("ask", 10)), [10, 11, 12, 13]);
    assert.deepEqual(sorted(await io.in("room").except(meetings[3].socket.id).timeout(5_000).emitWithAck("ask", 20)), [20, 21, 22]);
    assert.deepEqual(await meetings[0].socket.to(meetings[1].socket.id).timeout(5_000).emitWithAck("ask", 30), [31]);
    assert.deepEqual(await io.in("nobody").timeout(5_000).emitWithAck("ask", 0), []);
    assert.deepEqual(frames, ["BCAST_ACK", "BCAST_ACK", "BCAST_ACK", "BCAST_ACK"]);
    assert.equal(side.servers[0].ringway.host.namespaces.openRequests, 0, "all are over");
  }));

  test("bytes both ways, in another namespace, by polling", behind(async ({ side, io }) => {
    for (const server of side.servers) server.of("/more");
    await side.acquaint("/more");
    const clients = [side.client({ namespace: "/more" }), side.client({ namespace: "/more", transports: ["polling"] })];
    await Promise.all(clients.map((client) => event(client, "connect")));
    clients.forEach((client, number) => client.on("ask", (bytes, answer) => answer({ number, deep: [Buffer.from(bytes).reverse(), Buffer.of(number)] })));
    const answers = await io.of("/more").timeout(5_000).emitWithAck("ask", Buffer.of(1, 2, 3));
    const plain = answers.map(({ number, deep }) => [number, ...deep.map((bytes) => [...bytes])]);
    assert.deepEqual(plain.sort(), [[0, [3, 2, 1], [0]], [1, [3, 2, 1], [1]]]);
  }));

  test("who does not answer in time is missed, and too late is not heard", behind(async ({ meetings, io }) => {
    let late;
    meetings.forEach(({ client }) => client.on("ask", (answer) => { if (client.number === 2) late = answer; else answer(client.number); }));
    const result = await new Promise((resolve) => { io.timeout(300).emit("ask", (error, answers) => resolve([error.message, sorted(answers)])); });
    assert.deepEqual(result, ["operation has timed out", [0, 1, 3]]);
    late("too late");
    meetings.forEach(({ client }) => client.off("ask").on("ask", (answer) => answer(client.number)));
    assert.deepEqual(sorted(await io.timeout(5_000).emitWithAck("ask")), [0, 1, 2, 3]);
  }));

  test("many at once, and those of a socket beside them", behind(async ({ meetings, io }) => {
    meetings.forEach(({ client }) => client.on("ask", (number, answer) => answer(number)));
    const asked = [...Array(300).keys()].map((number) => io.timeout(20_000).emitWithAck("ask", number));
    const own = [...Array(50).keys()].map((number) => meetings[0].socket.timeout(20_000).emitWithAck("ask", 1_000 + number));
    assert.deepEqual(await Promise.all(asked), [...Array(300).keys()].map((number) => Array(4).fill(number)));
    assert.deepEqual(await Promise.all(own), [...Array(50).keys()].map((number) => 1_000 + number));
  }));

  test("who answers without being asked, or twice, is not heard", behind(async ({ meetings, io, side }) => {
    meetings.forEach(({ client }) => client.on("ask", (answer) => answer(client.number)));
    const liar = new WebSocket(`${at.url.replace("http", "ws")}/socket.io/?EIO=4&transport=websocket`);
    const heard = [];
    liar.on("message", (data) => {
      const text = String(data);
      heard.push(text);
      if (text.startsWith("0")) liar.send("40");
      if (text === "2") liar.send("3");
    });
    await until(() => heard.some((text) => text.startsWith("40")));
    const before = await total(at.daemon, "ringway_acks_unasked_total");
    const asking = io.except("none").timeout(5_000).emitWithAck("ask");
    const question = await until(() => heard.find((text) => /^42\d+\["ask"\]$/.test(text)));
    const id = Number(/\d+/.exec(question.slice(2))[0]);
    assert.ok(id >= 2 ** 30);
    for (const text of [`43${id}[8]`, `43${id}[9]`, `43${id + 1}[7]`, `43/more,${id}[6]`]) liar.send(text);
    liar.send(`461-${id}[{"_placeholder":true,"num":0}]`);
    liar.send(Buffer.of(1));
    assert.deepEqual(sorted(await asking), [0, 1, 2, 3, 8]);
    await until(async () => (await total(at.daemon, "ringway_acks_unasked_total")) === before + 4);
    // Asked alone, another client's number is of no use to it.
    const other = io.in(meetings[0].socket.id).timeout(5_000).emitWithAck("ask");
    liar.send(`43${id + 1}["mine"]`);
    assert.deepEqual(await other, [0]);
    liar.close();
    await until(async () => (await side.io.fetchSockets()).length === 4);
  }));
});

test("a worker that asks and dies leaves nothing behind, and clients go on", on({ args: ["--shards", "2"] }, async (stage) => {
  const workers = [await stage.worker(), await stage.worker()];
  const sockets = await Promise.all([...Array(4).keys()].map(() => stage.connected()));
  const answers = [];
  sockets.forEach((socket) => socket.on("question", (what, answer) => answers.push(answer)));
  const { pid } = await sockets[0].emitWithAck("who");
  sockets[0].emit("gather", "lobby", () => {});
  await until(() => answers.length === 4);
  await stage.kill(workers.find((worker) => worker.pid === pid));
  answers.forEach((answer) => answer("to nobody"));
  sockets.forEach((socket) => socket.off("question").on("question", (what, answer) => answer(what)));
  assert.deepEqual(await sockets[0].emitWithAck("gather", "lobby"), ["all", "all", "all", "all"]);
  assert.deepEqual(sockets.map(({ disconnects }) => disconnects), [[], [], [], []]);
}));
