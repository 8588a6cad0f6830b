// SIGTERM under load: nobody new comes in, members are closed at an even pace and so that they come back, and the exit status is 0.
import assert from "node:assert/strict";
import http from "node:http";
import net from "node:net";
import { describe, test } from "node:test";
import WebSocket from "ws";
import { ask, connect, modes, versions } from "./clients.mjs";
import { event, serveDev, until } from "./daemon.mjs";
import { refusals, total } from "./metrics.mjs";

const [SHARDS, SOCKETS, POLLERS, CLIENTS, ROOMS] = [4, 80, 60, 60, 5];
const DEADLINE_MS = 4000;

/** A WebSocket of which every frame is kept. */
async function socketMember(daemon, room) {
  const socket = new WebSocket(`ws://127.0.0.1:${daemon.port}/socket.io/?EIO=4&transport=websocket`);
  const member = { frames: [], messages: 0, closed: undefined };
  socket.on("message", (data) => {
    const text = data.toString();
    member.frames.push(text.slice(0, 40));
    if (text === "2") socket.send("3");
    if (text.startsWith('42["message"')) member.messages++;
  });
  socket.on("close", (code, reason) => { member.closed = { at: performance.now(), code, reason: reason.toString() }; });
  await event(socket, "open");
  socket.send("40");
  socket.send(`421["join","${room}"]`);
  await until(() => member.frames.some((text) => text.startsWith("431[")));
  return member;
}

/** A polling member that keeps its two TCP connections, as browsers do, and polls until it is told to stop. */
async function pollingMember(daemon, room) {
  const agent = new http.Agent({ keepAlive: true, maxSockets: 2 });
  const ask = (method, at, body) => new Promise((resolve, reject) => {
    const request = http.request(daemon.url + at, { method, agent }, (answer) => {
      let text = "";
      answer.on("data", (chunk) => { text += chunk; }).on("end", () => resolve(text)).on("error", reject);
    });
    request.on("error", reject).end(body);
  });
  const path = "/socket.io/?EIO=4&transport=polling";
  const { sid } = JSON.parse((await ask("GET", path)).slice(1));
  const [at, member] = [`${path}&sid=${sid}`, { frames: [], messages: 0, closed: undefined }];
  await ask("POST", at, `40\x1e421["join","${room}"]`);
  const poll = async () => {
    for (;;) {
      const packets = (await ask("GET", at)).split("\x1e");
      member.frames.push(...packets.map((text) => text.slice(0, 40)));
      member.messages += packets.filter((text) => text.startsWith('42["message"')).length;
      if (packets.includes("2")) await ask("POST", at, "3");
      if (packets.includes("1")) return;
    }
  };
  member.done = poll()
    .then(() => { member.closed = { at: performance.now() }; }, (error) => { member.closed = { at: performance.now(), error }; })
    .finally(() => agent.destroy());
  await until(() => member.frames.some((text) => text.startsWith("431[")));
  return member;
}

async function clientMember(daemon, room, at) {
  const socket = await connect(Object.values(versions)[at % 2], daemon.url, Object.values(modes)[at % 3]);
  const member = { frames: [], messages: 0, closed: undefined, socket };
  socket.on("message", () => { member.messages++; });
  socket.on("disconnect", (reason) => { member.closed = { at: performance.now(), reason }; });
  assert.equal((await ask(socket, "join", room)).ok, true);
  return member;
}

const connects = (port) => new Promise((resolve) => {
  const socket = net.connect({ port, host: "127.0.0.1" }, () => { socket.destroy(); resolve(true); }).once("error", () => resolve(false));
});

/** The largest share of all closes that fell into one of `parts` equal parts of the time from the first to the last. */
function largestShare(times, parts) {
  const [first, last] = [Math.min(...times), Math.max(...times)];
  const counts = Array(parts).fill(0);
  for (const time of times) counts[Math.min(parts - 1, Math.floor((time - first) / (last - first) * parts))]++;
  return Math.max(...counts) / times.length;
}

describe("SIGTERM under load", { timeout: 60_000 }, () => {
  test("200 members in rooms, with publishing going on", async () => {
    const daemon = await serveDev("--shards", String(SHARDS), "--set", `drain.deadline_ms=${DEADLINE_MS}`);
    const room = (at) => `room ${at % ROOMS}`;
    const all = (count, make) => Promise.all(Array.from({ length: count }, (_, at) => make(daemon, room(at), at)));
    const [sockets, pollers, clients] = [await all(SOCKETS, socketMember), await all(POLLERS, pollingMember), await all(CLIENTS, clientMember)];
    const members = [...sockets, ...pollers, ...clients];
    let publishing = true;
    const publish = async () => {
      for (let i = 0; publishing; i++) {
        const body = JSON.stringify({ room: room(i), data: i });
        await fetch(`${daemon.admin}/api/v1/publish`, { method: "POST", headers: { "content-type": "application/json" }, body }).catch(() => {});
      }
    };
    const load = publish();
    await until(() => members.every(({ messages }) => messages > 3));

    const start = performance.now();
    const exit = daemon.stop();
    await until(async () => !(await connects(daemon.port)));
    const refusedAfter = performance.now() - start;
    assert.equal((await fetch(`${daemon.admin}/ready`)).status, 503);
    assert.equal((await fetch(`${daemon.admin}/live`)).status, 200);
    assert.ok(members.some(({ closed }) => !closed), "nobody new comes in while members are still here");
    const here = members.filter(({ closed }) => !closed).map((member) => [member, member.messages]);
    await until(() => here.some(([member, before]) => member.messages > before));
    await until(() => members.every(({ closed }) => closed));
    const told = await refusals(daemon);
    publishing = false;
    await load;
    assert.equal(await exit, 0, daemon.log());
    const took = performance.now() - start;
    await Promise.all(pollers.map(({ done }) => done));
    clients.forEach(({ socket }) => socket.close());

    assert.ok(refusedAfter < 500, `new connections were refused after ${refusedAfter} ms`);
    assert.ok(took < DEADLINE_MS + 500, `it took ${took} ms`);
    for (const { closed, frames } of sockets) {
      assert.deepEqual([closed.code, closed.reason], [1012, "RW-2402"]);
      assert.ok(!frames.some((text) => text.startsWith("41")), "clients do not come back after a DISCONNECT");
    }
    for (const { closed, frames } of pollers) {
      assert.equal(closed.error, undefined, `${closed.error}`);
      assert.equal(frames.at(-1), "1");
      assert.ok(!frames.some((text) => text.startsWith("41")));
    }
    for (const { closed } of clients) assert.match(closed.reason, /^transport (close|error)$/);
    assert.ok(told["RW-2402"] > 0, "the numbers of the drain can be scraped while it goes on");
    // An even pace: a shard closes one of its sessions every 10 ms, or more when they would not fit the time that there is; the shard
    // that has most of them has at least its share.
    const times = members.map(({ closed }) => closed.at);
    const spread = Math.max(...times) - Math.min(...times);
    assert.ok(spread > members.length / SHARDS * 10 * 0.9, `all were closed within ${spread} ms`);
    assert.ok(largestShare(times, 10) < 0.34, `${largestShare(times, 10)} of all closes in a tenth of the time`);
  });

  test("a daemon without clients ends at once; a second SIGTERM changes nothing", async () => {
    const daemon = await serveDev("--shards", "4", "--set", "drain.deadline_ms=30000");
    const start = performance.now();
    daemon.process.kill("SIGTERM");
    daemon.process.kill("SIGTERM");
    assert.equal(await daemon.stop(), 0, daemon.log());
    assert.ok(performance.now() - start < 5000);
  });

  test("who does not read and who says nothing do not hold up the end", async () => {
    const daemon = await serveDev("--shards", "2", "--set", "drain.deadline_ms=1500");
    const silent = net.connect({ port: daemon.port, host: "127.0.0.1" }).on("error", () => {});
    const deaf = net.connect({ port: daemon.port, host: "127.0.0.1" }).on("error", () => {});
    await event(deaf, "connect");
    deaf.pause().write("GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\nHost: it\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n");
    await until(async () => await total(daemon, "ringway_sessions") === 1);
    const start = performance.now();
    assert.equal(await daemon.stop(), 0, daemon.log());
    assert.ok(performance.now() - start < 2500);
    for (const socket of [silent, deaf]) socket.destroy();
  });
});
