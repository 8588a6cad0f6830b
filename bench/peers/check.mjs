#!/usr/bin/env node
// Starts each peer and checks that it does its dialect's work, so that nobody measures a broken server.
//
//   ./check.mjs [NAME...]        all of them without a name
//
// The peers are what `./build` prints. Nothing here is timed: the only clocks are limits after which a peer counts as stuck.

import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { createRequire } from "node:module";
import { connect, createServer } from "node:net";
import { setTimeout as delay } from "node:timers/promises";
import { fileURLToPath } from "node:url";

const { WebSocket } = createRequire(new URL("socket.io/node_modules/engine.io/", import.meta.url))("ws");

const HOST = "127.0.0.1";
const STUCK_MS = 30_000;
const CONNECTIONS = 500;
const MESSAGES = 1000;

/** A room's inbox that can be waited for. */
class Inbox {
  messages = [];
  #wanted = 0;
  #arrived = () => {};

  push(message) {
    this.messages.push(message);
    if (this.messages.length >= this.#wanted) this.#arrived();
  }

  async atLeast(count) {
    if (this.messages.length >= count) return this.messages;
    this.#wanted = count;
    await within(new Promise((resolve) => (this.#arrived = resolve)), `${count} messages, have ${this.messages.length}`);
    return this.messages;
  }
}

/** RFC 6455 with one letter per kind of message. */
class BareClient {
  inbox = new Inbox();
  #answers = [];

  static async open(port) {
    const client = new BareClient();
    client.socket = new WebSocket(`ws://${HOST}:${port}/`, { perMessageDeflate: false });
    client.socket.on("message", (data, binary) => client.#receive(data, binary));
    await within(once(client.socket, "open"), "a handshake");
    return client;
  }

  #receive(data, binary) {
    if (data[0] === 0x6d) this.inbox.push(data.subarray(1).toString());
    else this.#answers.shift()?.({ data: data.toString(), binary });
  }

  async #ask(message, binary = true) {
    const answer = new Promise((resolve) => this.#answers.push(resolve));
    this.socket.send(message, { binary });
    return within(answer, "an answer");
  }

  async echo(text, binary = true) {
    const message = `e${text}`;
    assert.deepEqual(await this.#ask(message, binary), { data: message, binary });
  }

  async join(room) {
    assert.equal((await this.#ask(`j${room}`)).data, `j${room}`);
  }

  publish(room, text) {
    this.socket.send(Buffer.concat([Buffer.from("p"), Buffer.of(Buffer.byteLength(room)), Buffer.from(room + text)]));
  }

  close() {
    this.socket.terminate();
  }
}

/** Socket.IO v5 over Engine.IO v4, on a WebSocket from the start. */
class SocketIoClient {
  inbox = new Inbox();
  #acks = new Map();
  #next = 0;
  #connected;

  static async open(port) {
    const client = new SocketIoClient();
    const connected = new Promise((resolve) => (client.#connected = resolve));
    client.socket = new WebSocket(`ws://${HOST}:${port}/socket.io/?EIO=4&transport=websocket`, { perMessageDeflate: false });
    client.socket.on("message", (data) => client.#receive(data.toString()));
    await within(connected, "a Socket.IO handshake");
    return client;
  }

  #receive(packet) {
    const [, kind, id, rest] = /^(4[0-4]|[0-6])(\d*)(.*)$/s.exec(packet);
    if (kind === "0") this.socket.send('40{"token":"ignored"}');
    else if (kind === "2") this.socket.send("3");
    else if (kind === "40") this.#connected();
    else if (kind === "43") this.#acks.get(Number(id))?.(JSON.parse(rest));
    else if (kind === "42") {
      const [event, room, data, ...more] = JSON.parse(rest);
      assert.deepEqual([event, typeof room, more.length], ["message", "string", 0]);
      this.inbox.push(data);
    }
  }

  async #emit(...event) {
    const id = this.#next++;
    const ack = new Promise((resolve) => this.#acks.set(id, resolve));
    this.socket.send(`42${id}${JSON.stringify(event)}`);
    return within(ack, `an acknowledgement of ${event[0]}`);
  }

  async echo(data) {
    assert.deepEqual(await this.#emit("echo", data), [{ ok: true, data }]);
  }

  async join(room) {
    assert.deepEqual(await this.#emit("join", room), [{ ok: true }]);
  }

  publish(room, data) {
    this.socket.send(`42${JSON.stringify(["publish", room, data])}`);
  }

  async publishAcked(room, data) {
    assert.deepEqual(await this.#emit("publish", room, data), [{ ok: true }]);
  }

  close() {
    this.socket.terminate();
  }
}

/** Bytes that come back. */
class EchoClient {
  #received = Buffer.alloc(0);
  #wanted = 0;
  #arrived = () => {};

  static async open(port) {
    const client = new EchoClient();
    client.socket = connect({ host: HOST, port, noDelay: true });
    client.socket.on("data", (data) => {
      client.#received = Buffer.concat([client.#received, data]);
      if (client.#received.length >= client.#wanted) client.#arrived();
    });
    await within(once(client.socket, "connect"), "a connection");
    return client;
  }

  async echo(text) {
    const sent = Buffer.from(text);
    this.#wanted = sent.length;
    const arrived = new Promise((resolve) => (this.#arrived = resolve));
    this.socket.write(sent);
    await within(arrived, `${sent.length} bytes, have ${this.#received.length}`);
    assert.ok(this.#received.equals(sent), "other bytes came back");
    this.#received = Buffer.alloc(0);
  }

  close() {
    this.socket.destroy();
  }
}

// The checks. Each gets a function that opens a client, and the port.

async function echoes(open) {
  const client = await open();
  for (const length of [1, 64, 125, 126, 4096, 65_535, 65_536, 1_000_000]) await client.echo("x".repeat(length));
  await Promise.all(Array.from({ length: MESSAGES }, (_, index) => client.echo(`number ${index}`)));
}

async function echoesBytes(open) {
  const client = await open();
  for (let index = 0; index < MESSAGES; index++) await client.echo(String(index).padStart(64));
  await client.echo(Array.from({ length: 50_000 }, (_, index) => String(index).padStart(64)).join(""));
}

async function joinsAndPublishes(open) {
  const [outsider, ...members] = await Promise.all([1, 2, 3, 4].map(open));
  for (const member of members) await member.join("room");
  // Joining twice is joining once, and other rooms are other rooms.
  await members[0].join("room");
  await members[0].join("other");
  await members[0].join("a third");
  members[0].publish("room", "from a member");
  for (const member of members) assert.deepEqual(await member.inbox.atLeast(1), ["from a member"]);
  outsider.publish("room", "from outside");
  outsider.publish("nobody's", "lost");
  outsider.publish("a third", "for one");
  await members[0].inbox.atLeast(3);
  await members[1].inbox.atLeast(2);
  // What comes after an echo's answer would have come before it.
  for (const client of [outsider, ...members]) await client.echo("a barrier");
  const got = [outsider, ...members].map((client) => client.inbox.messages.slice().sort());
  assert.deepEqual(got, [
    [],
    ["for one", "from a member", "from outside"],
    ["from a member", "from outside"],
    ["from a member", "from outside"],
  ]);
  // Whoever has gone gets nothing more, and the others still do.
  members[1].close();
  await once(members[1].socket, "close");
  members[0].publish("room", "to two");
  await members[0].inbox.atLeast(4);
  assert.deepEqual((await members[2].inbox.atLeast(3)).at(-1), "to two");
}

async function keepsOrder(open) {
  const [publisher, ...members] = await Promise.all([1, 2, 3, 4].map(open));
  for (const member of members) await member.join("ordered");
  const expected = Array.from({ length: MESSAGES }, (_, index) => `number ${index}`);
  for (const message of expected) publisher.publish("ordered", message);
  for (const member of members) assert.deepEqual(await member.inbox.atLeast(MESSAGES), expected);
}

async function holdsManyAtOnce(open) {
  const clients = await Promise.all(Array.from({ length: CONNECTIONS }, open));
  await Promise.all(clients.map((client, index) => client.echo(`connection ${index}`)));
  if (!clients[0].join) return;
  await Promise.all(clients.map((client) => client.join("all")));
  clients[0].publish("all", "to everybody");
  for (const client of clients) assert.deepEqual(await client.inbox.atLeast(1), ["to everybody"]);
}

async function speaksRfc6455(open) {
  const client = await open();
  await client.echo("text, ä", false);
  const pong = once(client.socket, "pong");
  client.socket.ping("are you there");
  assert.equal((await within(pong, "a pong"))[0].toString(), "are you there");
  const echoed = client.echo(" and its parts");
  // The rest of a fragmented message, in the middle of which a ping is answered.
  await echoed;
  const parts = once(client.socket, "message");
  client.socket.send("e first", { binary: true, fin: false });
  client.socket.ping("between");
  client.socket.send(" second", { binary: true, fin: true });
  assert.equal((await within(parts, "a fragmented message"))[0].toString(), "e first second");
  const closed = once(client.socket, "close");
  client.socket.close(1000, "bye");
  assert.equal((await within(closed, "a close frame"))[0], 1000);
}

async function takesBytesAsTheyCome(_open, port) {
  const head =
    `GET / HTTP/1.1\r\nHost: ${HOST}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n` +
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n";
  const frame = (text) => Buffer.concat([Buffer.of(0x82, 0x80 | text.length, 0, 0, 0, 0), Buffer.from(text)]);
  const answer = (text) => Buffer.concat([Buffer.of(0x82, text.length), Buffer.from(text)]);
  const frames = Buffer.concat([frame("e one"), frame("jroom"), frame("p\x04roomtwo"), frame("e three")]);
  // The publisher's own copy may come before or after what it asked for in the same breath.
  const answers = [answer("e one"), answer("jroom"), answer("mtwo"), answer("e three")];
  const length = answers.reduce((sum, { length }) => sum + length, 0);
  for (const step of [1, 7, frames.length]) {
    const socket = connect({ host: HOST, port, noDelay: true });
    // The head goes out whole and alone, as from every client: uWebSockets refuses one in pieces, and drops what comes right behind it.
    socket.write(head);
    const [response] = await within(once(socket, "data"), "a handshake");
    assert.match(response.toString(), /^HTTP\/1\.1 101 .*s3pPLMBiTxaQ9kYGzzhZRbK\+xOo=/s);
    let body = Buffer.alloc(0);
    const arrived = new Promise((resolve) => {
      socket.on("data", (data) => {
        body = Buffer.concat([body, data]);
        if (body.length >= length) resolve();
      });
    });
    for (let at = 0; at < frames.length; at += step) {
      socket.write(frames.subarray(at, at + step));
      await new Promise(setImmediate);
    }
    await within(arrived, `the answers to ${step} bytes at a time`);
    assert.equal(body.length, length);
    for (const one of answers) assert.ok(body.includes(one), `${one} is missing`);
    socket.destroy();
  }
}

async function survivesComingsAndGoings(open) {
  const stayed = [];
  for (let round = 0; round < 20; round++) {
    const clients = await Promise.all(Array.from({ length: 25 }, open));
    await Promise.all(clients.flatMap((client) => ["a", "b", "c", `round ${round}`].map((room) => client.join(room))));
    clients[0].publish("a", `round ${round}`);
    // Most leave while the message is on its way, and their places are taken by the next round.
    stayed.push({ client: clients[0], round });
    for (const client of clients.slice(1)) client.close();
  }
  const [{ client: publisher }] = stayed;
  for (const room of ["a", "b", "c"]) publisher.publish(room, `last in ${room}`);
  publisher.publish("round 0", "alone");
  for (const { client, round } of stayed) {
    const rounds = Array.from({ length: 20 - round }, (_, index) => `round ${round + index}`);
    const expected = [...rounds, "last in a", "last in b", "last in c"];
    if (client === publisher) expected.push("alone");
    assert.deepEqual((await client.inbox.atLeast(expected.length)).slice().sort(), expected.sort());
  }
}

async function boundsWhatIsUnread(open) {
  const text = "y".repeat(8 * 1024);
  const publishMiB = async (publisher, room, count) => {
    for (let index = 0; index < count * 128; index++) publisher.publish(room, text);
    await publisher.echo("a barrier");
  };
  const [publisher, patient, lost] = await Promise.all([1, 2, 3].map(open));
  await patient.join("slow");
  await lost.join("stuck");
  // More than the kernel's buffers hold, and less than that with what the server may keep.
  patient.socket.pause();
  await publishMiB(publisher, "slow", 6);
  patient.socket.resume();
  await patient.inbox.atLeast(6 * 128);
  assert.ok(patient.inbox.messages.every((message) => message === text));
  // More than both.
  lost.socket.pause();
  await publishMiB(publisher, "stuck", 32);
  const closed = once(lost.socket, "close");
  lost.socket.resume();
  await within(closed, "a closed connection");
}

async function acknowledgesPublishes(open) {
  const client = await open();
  await client.join("mine");
  await client.publishAcked("mine", { nested: [1, "two", null] });
  assert.deepEqual(await client.inbox.atLeast(1), [{ nested: [1, "two", null] }]);
}

async function answersPolling(_open, port) {
  const response = await fetch(`http://${HOST}:${port}/socket.io/?EIO=4&transport=polling`);
  const { upgrades, pingInterval, pingTimeout, maxPayload } = JSON.parse((await response.text()).slice(1));
  assert.deepEqual([upgrades, pingInterval, pingTimeout, maxPayload], [["websocket"], 25_000, 20_000, 1024 * 1024]);
}

const ROOMS = [echoes, joinsAndPublishes, keepsOrder, holdsManyAtOnce, survivesComingsAndGoings];
const DIALECTS = {
  bare: { open: BareClient.open, checks: [...ROOMS, speaksRfc6455, takesBytesAsTheyCome, boundsWhatIsUnread] },
  socketio: { open: SocketIoClient.open, checks: [...ROOMS, acknowledgesPublishes, answersPolling] },
  bytes: { open: EchoClient.open, checks: [echoesBytes, holdsManyAtOnce] },
};

function dialectOf(name) {
  if (name.startsWith("runtime-")) return DIALECTS.bytes;
  return name.startsWith("socket") ? DIALECTS.socketio : DIALECTS.bare;
}

async function check(name, command) {
  const { open, checks } = dialectOf(name);
  const port = await freePort();
  const [program, ...words] = command.split(" ");
  const peer = spawn(program, [...words, "--port", String(port)], { stdio: ["ignore", "pipe", "inherit"] });
  let printed = "";
  peer.stdout.on("data", (data) => (printed += data));
  const ended = once(peer, "exit");
  try {
    await Promise.race([
      within(once(peer.stdout, "data"), "`ready`"),
      ended.then(([status]) => assert.fail(`it ended with status ${status}`)),
    ]);
    for (const one of checks) {
      const clients = [];
      const opened = async () => {
        const client = await open(port);
        clients.push(client);
        return client;
      };
      await one(opened, port);
      for (const client of clients) client.close();
    }
    assert.equal(peer.exitCode, null, "it ended by itself");
    peer.kill("SIGTERM");
    await within(ended, "its end after SIGTERM");
    assert.equal(printed, "ready\n");
  } finally {
    peer.kill("SIGKILL");
  }
  return checks.map((one) => one.name).join(" ");
}

async function freePort() {
  const server = createServer().listen(0, HOST);
  await once(server, "listening");
  const { port } = server.address();
  server.close();
  await once(server, "close");
  return port;
}

async function within(promise, what) {
  const abort = new AbortController();
  const stuck = delay(STUCK_MS, undefined, { signal: abort.signal }).then(
    () => assert.fail(`stuck waiting for ${what}`),
    () => {},
  );
  try {
    return await Promise.race([promise, stuck]);
  } finally {
    abort.abort();
  }
}

const built = spawnSync(fileURLToPath(new URL("build", import.meta.url)), { stdio: ["ignore", "pipe", "inherit"], encoding: "utf8" });
assert.equal(built.status, 0, "./build failed");
const asked = process.argv.slice(2);
let broken = 0;
for (const line of built.stdout.trim().split("\n")) {
  const [name, ...command] = line.split(" ");
  if (asked.length > 0 && !asked.includes(name)) continue;
  try {
    console.log(`ok      ${name}: ${await check(name, command.join(" "))}`);
  } catch (error) {
    broken++;
    console.log(`BROKEN  ${name}: ${error.stack}`);
  }
}
process.exit(broken === 0 ? 0 : 1);
