// A peer of the link that says whatever it is given.
import assert from "node:assert/strict";
import net from "node:net";
import { until } from "../it/daemon.mjs";
import { total } from "../it/metrics.mjs";

/** The type of an ERROR frame. */
const ERROR = 9;

/** Connects to the link as a liar does; resolves with all that comes back when the daemon closes it. */
export function lie(stage, bytes, at = { path: `${stage.folder}/link.sock` }) {
  return new Promise((resolve) => {
    const socket = net.connect(at, () => socket.write(bytes));
    let said = "";
    socket.on("data", (chunk) => { said += chunk.toString("latin1"); });
    socket.on("error", () => {});
    socket.on("close", () => resolve(said));
  });
}

/** A frame of the link. */
export function frame(type, body = Buffer.alloc(0), conn = 0n, flags = 0) {
  const header = Buffer.alloc(14);
  header.writeUInt32LE(10 + body.length);
  header[4] = type;
  header[5] = flags;
  header.writeBigUInt64LE(conn, 6);
  return Buffer.concat([header, body]);
}

/** HELLO of a worker that anybody could be. */
export function hello(values = {}) {
  const text = JSON.stringify({ proto: [1, 0], app: "default", instance: "liar", role: "worker", nonce: "0".repeat(32), ...values });
  const length = Buffer.alloc(4);
  length.writeUInt32LE(Buffer.byteLength(text));
  return frame(1, Buffer.concat([length, Buffer.from(text), Buffer.alloc(2)]));
}

/** The codes of the ERROR frames (docs/link.md) in what the daemon said. */
export function errorsIn(said) {
  const bytes = Buffer.from(said, "latin1");
  const codes = [];
  for (let at = 0; at + 4 <= bytes.length; at += 4 + bytes.readUInt32LE(at)) {
    if (bytes[at + 4] === ERROR) codes.push(bytes.toString("utf8", at + 16, at + 16 + bytes.readUInt16LE(at + 14)));
  }
  return codes;
}

/** Types of frames (docs/link.md). */
export const TYPES = {
  WELCOME: 2, BIND: 3, PING: 5, PONG: 6, CREDIT: 7, PEERS: 8, OPEN: 16, DATA: 17, CLOSE: 18, SEND: 21, CLOSE_CONN: 22, HS_REQ: 23, HS_RES: 24, NSP: 32, MEMBER: 33,
  JOIN: 34, LEAVE: 35, LEAVE_ALL: 36, BCAST: 37, SET_DATA: 45,
};

const u16 = (value) => { const bytes = Buffer.alloc(2); bytes.writeUInt16LE(value); return bytes; };
const s16 = (text) => Buffer.concat([u16(Buffer.byteLength(text)), Buffer.from(text)]);
const s32 = (text) => { const bytes = Buffer.alloc(4); bytes.writeUInt32LE(Buffer.byteLength(text)); return Buffer.concat([bytes, Buffer.from(text)]); };
const list = (items) => Buffer.concat([u16(items.length), ...items]);

/** What a worker says; `nsp` is the number that it gave a namespace by NSP. */
export const says = {
  nsp: (nsp, name) => frame(TYPES.NSP, s16(name), BigInt(nsp)),
  member: (conn, sid, nsp = 0) => frame(TYPES.MEMBER, Buffer.concat([u16(nsp), s16(sid), s16(""), list([]), s32("{}"), s32("{}")]), conn),
  join: (conn, room, nsp = 0) => frame(TYPES.JOIN, Buffer.concat([u16(nsp), list([s16(room)])]), conn),
  leave: (conn, room, nsp = 0) => frame(TYPES.LEAVE, Buffer.concat([u16(nsp), list([s16(room)])]), conn),
  leaveAll: (conn, nsp = 0) => frame(TYPES.LEAVE_ALL, u16(nsp), conn),
  setData: (conn, nsp = 0) => frame(TYPES.SET_DATA, Buffer.concat([u16(nsp), s32("{}")]), conn),
  send: (conn, packet) => frame(TYPES.SEND, Buffer.from(packet), conn),
  broadcast: (packet, nsp = 0) => frame(TYPES.BCAST, Buffer.concat([u16(nsp), list([]), list([]), list([Buffer.concat([Buffer.of(0), s32(packet)])])])),
};

/** A worker of a test's own making: it gives credit and answers pings as an honest one does, and otherwise says what it is told to. */
export class Peer {
  /** What it heard, in order: `{ type, conn, body }`. */
  heard = [];
  #input = Buffer.alloc(0);
  #dealt = { frames: 0n, bytes: 0n };
  #said = "";

  constructor(stage, values, hears = () => {}) {
    this.stage = stage;
    this.socket = net.connect(`${stage.folder}/link.sock`);
    this.socket.on("data", (chunk) => this.#take(chunk, hears));
    // It is closed behind that.
    this.socket.on("error", () => {});
    this.say(hello(values));
  }

  /** One that has joined. */
  static async join(stage, values, hears) {
    const peer = new Peer(stage, values, hears);
    await until(() => peer.hasHeard(TYPES.WELCOME));
    return peer;
  }

  say(...frames) {
    this.socket.write(Buffer.concat(frames));
  }

  /** The codes of the errors that it was told, once the daemon has closed its link. */
  async ended() {
    await until(() => this.socket.closed, 10_000);
    return errorsIn(this.#said);
  }

  hasHeard(type, conn, text) {
    return this.heard.some((it) => it.type === type && (conn === undefined || it.conn === conn) && (text === undefined || it.body.toString() === text));
  }

  /** A client that connects to a namespace of this worker's, if this is the one with least to do, and is let in: `{ socket, conn }`. */
  async letIn(sid, { name = "/", nsp = 0 } = {}) {
    const opens = () => this.heard.filter(({ type }) => type === TYPES.OPEN);
    const before = opens().length;
    const namespace = name === "/" ? "" : name;
    const socket = this.stage.client({ reconnection: false }, namespace);
    const { conn } = await until(() => opens()[before]);
    const prefix = namespace && `${namespace},`;
    await until(() => this.hasHeard(TYPES.DATA, conn, `0${prefix}`));
    this.say(says.member(conn, sid, nsp), says.send(conn, `0${prefix}{"sid":"${sid}"}`));
    await until(() => socket.connected);
    return { socket, conn };
  }

  #take(chunk, hears) {
    this.#said += chunk.toString("latin1");
    this.#input = Buffer.concat([this.#input, chunk]);
    while (this.#input.length >= 4 && this.#input.length >= 4 + this.#input.readUInt32LE()) {
      const whole = this.#input.subarray(0, 4 + this.#input.readUInt32LE());
      this.#input = this.#input.subarray(whole.length);
      this.#deal(whole, hears);
    }
  }

  #deal(whole, hears) {
    const type = whole[4];
    // All but the frames of the link itself are counted (docs/link.md).
    if (type > 9 || type === TYPES.PEERS) {
      this.#dealt.frames += 1n;
      this.#dealt.bytes += BigInt(whole.length);
      const sums = Buffer.alloc(16);
      sums.writeBigUInt64LE(this.#dealt.frames);
      sums.writeBigUInt64LE(this.#dealt.bytes, 8);
      this.say(frame(TYPES.CREDIT, sums));
    }
    const heard = { type, conn: whole.readBigUInt64LE(6), body: whole.subarray(14) };
    if (type === TYPES.PING) this.say(frame(TYPES.PONG, heard.body));
    hears(this, heard);
    this.heard.push(heard);
  }
}

/** A worker that joins, is asked about each handshake, and says the same of all; resolves when it is asked from now on. It counts what it judged. */
export async function misjudge(stage, verdict) {
  const bind = s32(JSON.stringify({ path: "/socket.io", opts: {}, rpc: "handshake", parser: "default" }));
  const liar = await Peer.join(stage, { name: "bad version", caps: ["handshake"] }, (peer, { type, body }) => {
    if (type !== TYPES.HS_REQ) return;
    peer.judged += 1;
    peer.say(frame(TYPES.HS_RES, Buffer.concat([body.subarray(0, 4), s32(verdict)])));
  });
  liar.judged = 0;
  liar.say(frame(TYPES.BIND, bind));
  // Credit for BIND says that it is obeyed.
  await until(() => liar.hasHeard(TYPES.CREDIT));
  return liar;
}

/**
 * Fails if a lie touched the worker that has `socket`, or that client. A link that a lie had cut would be back at once, and its clients with it, so that it says
 * nothing that the client is answered: the worker must have come once, had its client once, and been told of no fault. `liars` are the peers beside it that have
 * joined, each of which the daemon has lost by its lie, `emitters` more of them that are no workers; `at` is where a lie is told.
 */
export async function untouched(stage, worker, socket, { liars, emitters = 0, at }) {
  assert.equal(await socket.emitWithAck("echo", "untouched"), "untouched");
  assert.deepEqual(socket.disconnects, []);
  const metric = (name) => total(stage.daemon, `ringway_${name}`);
  await until(async () => await metric("upstream_workers_lost_total") === liars);
  // The exchange says what it counts now and then: when one more refusal is said, so is all that was before it.
  const refused = await metric("links_refused_total");
  assert.deepEqual(errorsIn(await lie(stage, frame(77), at)), ["unknown-type"]);
  await until(async () => await metric("links_refused_total") === refused + 1);
  const counts = Object.fromEntries(await Promise.all(["links_joined_total", "links_resumed_total", "upstream_workers_lost_total"].map(async (name) => [name, await metric(name)])));
  assert.deepEqual(counts, { links_joined_total: 1 + liars + emitters, links_resumed_total: 0, upstream_workers_lost_total: liars });
  // Clients of liars come to it, too, when these are gone.
  const events = worker.events.filter(({ event, id }) => event !== "ran" && (id === undefined || id === socket.id));
  assert.deepEqual(events, [{ event: "connection", id: socket.id, recovered: false }]);
}
