// What an event costs an application behind the daemon, and an event that it answers with a broadcast, without the daemon: this process plays the daemon's end of
// the link (docs/link.md) for `application.mjs`, and is not measured.
//
//     node hot.mjs [--kind plain|nest] [--rate 8000] [--together 2] [--seconds 5] [--passes 5] [--clients 100]
//
// `rate` events come in a second, `together` of them at a time. Each pass has `seconds` of `say`, which does nothing, and as many of `publish` to the room that
// all are in. Prints CPU of the application for one of each, all its threads, the median of the passes and the least and the most.

import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as rest } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";

import { decode, encode, FrameReader } from "../../realtime-sdk/dist/esm/link/codec.js";
import { FRAMES, HEADER_BYTES, isCounted } from "../../realtime-sdk/dist/esm/link/frames.js";
import { json } from "../../realtime-sdk/dist/esm/link/json.js";

const text = (value) => ({ type: "string", default: value });
const { values } = parseArgs({
  options: { kind: text("plain"), rate: text("8000"), together: text("2"), seconds: text("5"), passes: text("5"), clients: text("100") },
});
const [rate, together, seconds, passes, clients] = ["rate", "together", "seconds", "passes", "clients"].map((name) => Number(values[name]));
const WINDOW = { frames: 8192, bytes: 4 << 20 };
const WARM_SECONDS = 2;
const SAID = "x".repeat(64);
const EVENTS = { say: `2["say","${SAID}"]`, publish: `2["publish","all","${SAID}"]` };

/** The daemon's end of one link, as far as an application needs it. */
class Peer {
  /** Counted frames either way, and their bytes; what the application has dealt with. */
  sent = { frames: 0, bytes: 0 };
  dealt = 0;
  received = { frames: 0, bytes: 0 };
  #credited = 0;
  broadcasts = 0;
  #batch = [];
  #reader = new FrameReader();
  #heard = new Map();

  constructor(socket) {
    this.socket = socket;
    socket.on("data", (chunk) => this.#read(chunk));
    this.timer = setInterval(() => this.#credit(), 100);
  }

  send(name, conn, fields) {
    const frame = encode(name, 0, conn, fields);
    if (isCounted(FRAMES[name].type)) {
      this.sent.frames += 1;
      this.sent.bytes += frame.length;
    }
    this.#batch.push(frame);
  }

  flush() {
    if (this.#batch.length > 0) this.socket.write(Buffer.concat(this.#batch));
    this.#batch = [];
  }

  next(name) {
    return new Promise((resolve) => { this.#heard.set(name, resolve); });
  }

  /** Resolves when the application has dealt with all that was sent. */
  async settled() {
    for (const late_ms = performance.now() + 10_000; this.dealt < this.sent.frames; await rest(10)) {
      if (performance.now() > late_ms) throw new Error(`the application has dealt with ${this.dealt} of ${this.sent.frames} frames`);
    }
  }

  #credit() {
    if (this.#credited === this.received.frames) return;
    this.#credited = this.received.frames;
    this.send("CREDIT", 0, { frames: BigInt(this.received.frames), bytes: BigInt(this.received.bytes) });
    this.flush();
  }

  #read(chunk) {
    this.#reader.push(chunk);
    for (let raw = this.#reader.next(); raw; raw = this.#reader.next()) {
      if (isCounted(raw.type)) {
        this.received.frames += 1;
        this.received.bytes += HEADER_BYTES + raw.bodyBytes;
      }
      if (raw.type === FRAMES.BCAST.type) this.broadcasts += 1;
      else this.#take(decode(raw, "daemon"));
    }
    if (this.received.frames - this.#credited >= WINDOW.frames / 4) this.#credit();
  }

  #take(frame) {
    if (frame?.name === "CREDIT") this.dealt = Number(frame.frames);
    if (frame?.name === "ERROR") throw new Error(`${frame.code}: ${frame.message}`);
    if (frame?.name === "PING") {
      this.send("PONG", 0, { number: frame.number });
      this.flush();
    }
    this.#heard.get(frame?.name)?.(frame);
  }
}

/** The application, and the other end of its link. */
async function start(folder) {
  const server = createServer().listen(join(folder, "link.sock"));
  await once(server, "listening");
  const application = fileURLToPath(new URL("application.mjs", import.meta.url));
  const child = spawn(process.execPath, [application, "--kind", values.kind, "--link", `unix:${folder}/link.sock`], {
    env: { ...process.env, NODE_ENV: "production" }, stdio: ["ignore", "inherit", "inherit"],
  });
  process.once("exit", () => child.kill("SIGKILL"));
  const [socket] = await Promise.race([once(server, "connection"), once(child, "exit").then(() => { throw new Error("the application ended"); })]);
  const peer = new Peer(socket);
  const hello = peer.next("HELLO");
  peer.send("CHALLENGE", 0, { json: json({ proto: [1, 0], nonce: "0".repeat(32), epoch: "hot" }) });
  peer.flush();
  await hello;
  const bind = peer.next("BIND");
  const welcome = { proto: [1, 0], epoch: "hot", resumed: false, received: 0, window: WINDOW, hold_ms: 30_000, grace_ms: 500, caps: ["ackgather", "handshake", "hold", "local", "opaque", "recovery"] };
  peer.send("WELCOME", 0, { json: json(welcome), mac: "" });
  peer.flush();
  await bind;
  return { child, peer, server };
}

async function connect(peer) {
  const open = (conn) => ({
    sid: `sid-${conn}`, proto: 4, transport: "websocket", address: "192.0.2.7", secure: false, method: "GET", url: "/socket.io/?EIO=4&transport=websocket", headers: [["Host", "example.test"]],
  });
  for (let conn = 1; conn <= clients; conn += 1) {
    peer.send("OPEN", conn, { json: json(open(conn)) });
    peer.send("DATA", conn, { payload: "0" });
  }
  peer.flush();
  await peer.settled();
  for (let conn = 1; conn <= clients; conn += 1) peer.send("DATA", conn, { payload: '20["join","all"]' });
  peer.flush();
  await peer.settled();
}

/** Microseconds that the threads of a process have run for. */
function cpu_us(pid) {
  const times = readdirSync(`/proc/${pid}/task`).map((thread) => Number(readFileSync(`/proc/${pid}/task/${thread}/schedstat`, "utf8").split(" ")[0]));
  return times.reduce((sum, time) => sum + time, 0) / 1_000;
}

const turn = () => new Promise((resolve) => { setImmediate(resolve); });

/** So many seconds of one event; CPU microseconds of each. */
async function run({ child, peer }, event, for_seconds) {
  const count = rate * for_seconds;
  const broadcasts = peer.broadcasts;
  const before_us = cpu_us(child.pid);
  const began_ms = performance.now();
  // Timers are a thousand a second: who is to send more often than that looks at the clock.
  for (let said = 0; said < count; await turn()) {
    if ((performance.now() - began_ms) * rate < said * 1_000) continue;
    if (peer.sent.frames - peer.dealt + together > WINDOW.frames) continue;
    for (let one = 0; one < together; one += 1, said += 1) peer.send("DATA", 1 + (said % clients), { payload: EVENTS[event] });
    peer.flush();
  }
  await peer.settled();
  const spent_us = cpu_us(child.pid) - before_us;
  const took_seconds = (performance.now() - began_ms) / 1_000;
  if (took_seconds > for_seconds * 1.1 + 0.1) process.stdout.write(`${values.kind}: ${count} of ${event} took ${took_seconds.toFixed(1)} s and not ${for_seconds}: the machine is too busy, or the rate too high\n`);
  const heard = peer.broadcasts - broadcasts;
  if (heard !== (event === "publish" ? Math.ceil(count / together) * together : 0)) throw new Error(`${heard} broadcasts of ${count} events`);
  return spent_us / count;
}

function tell(what, each) {
  const sorted = [...each].sort((one, other) => one - other);
  const [median, least, most] = [sorted[sorted.length >> 1], sorted[0], sorted.at(-1)].map((us) => us.toFixed(1));
  process.stdout.write(`${values.kind}: ${what} ${median} us of CPU, the median of ${passes} (${least} to ${most})\n`);
}

const folder = mkdtempSync(join(tmpdir(), "ringway-hot-"));
try {
  const stage = await start(folder);
  await connect(stage.peer);
  for (const event of Object.keys(EVENTS)) await run(stage, event, WARM_SECONDS);
  const [events, both] = [[], []];
  for (let pass = 0; pass < passes; pass += 1) {
    events.push(await run(stage, "say", seconds));
    both.push(await run(stage, "publish", seconds));
  }
  process.stdout.write(`${rate} events a second of ${clients} clients, ${together} at a time\n`);
  tell("an event", events);
  tell("an event with its broadcast", both);
  tell("the broadcast of it", both.map((us, pass) => us - events[pass]));
} finally {
  rmSync(folder, { recursive: true, force: true });
}
process.exit(0);
