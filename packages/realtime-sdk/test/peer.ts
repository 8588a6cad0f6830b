// A scripted peer: it plays the daemon's part for single connections, over a real socket, and does only what a test says.

import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { createServer, type AddressInfo, type Server, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { decode, encode, FrameReader } from "../src/link/codec.js";
import { FLAG, FRAMES, HEADER_BYTES, isCounted, type Conn, type Fields, type Frame, type FrameName } from "../src/link/frames.js";
import { json, type Hello, type Open, type ResumedSocket, type Welcome } from "../src/link/json.js";
import { isProof, nonce, prove } from "../src/link/proof.js";

const EPOCH = "epoch-1";
const NEXT_MS_MAX = 5_000;
export const WINDOW = { frames: 8192, bytes: 4 << 20 };

/** A frame of the worker's by its name. */
export type Said<Name extends FrameName> = Extract<Frame, { name: Name }>;

interface Waiter {
  readonly names: readonly FrameName[];
  readonly take: (frame: Frame) => void;
  readonly fail: (error: Error) => void;
}

/** One accepted link. */
export class PeerLink {
  readonly socket: Socket;
  readonly closed: Promise<void>;
  /** Frames that were not asked for yet. */
  readonly inbox: Frame[] = [];
  /** Counted frames that were received, and their bytes. */
  received = { frames: 0, bytes: 0 };
  /** Whether each counted frame is dealt with at once. */
  credits = true;
  readonly #daemon: PeerDaemon;
  readonly #reader = new FrameReader();
  readonly #challenge;
  #waiters: Waiter[] = [];
  #isClosed = false;
  #lastPing = 100n;

  constructor(daemon: PeerDaemon, socket: Socket, epoch: string) {
    this.#daemon = daemon;
    this.socket = socket;
    this.#challenge = json({ proto: [1, 0] as [number, number], nonce: nonce(), epoch });
    this.closed = new Promise<void>((resolve) => socket.on("close", () => resolve())).then(() => {
      this.#isClosed = true;
      for (const { fail, names } of this.#waiters.splice(0)) fail(new Error(`the link closed before ${names.join("/")}`));
    });
    socket.on("error", () => {});
    socket.on("data", (chunk) => this.#read(chunk));
  }

  /** Says CHALLENGE. */
  challenge(): void {
    this.send("CHALLENGE", 0, 0, { json: this.#challenge });
  }

  /** The whole handshake; gives what HELLO said. */
  async welcome(more: Partial<Welcome> = {}, secret?: Uint8Array): Promise<Hello> {
    this.challenge();
    const hello = await this.next("HELLO");
    const body = json<Welcome>({
      proto: [1, 0], epoch: this.#challenge.value.epoch, resumed: false, received: 0, window: WINDOW, hold_ms: 30_000,
      grace_ms: 2_000, caps: ["ackgather", "handshake", "local", "move", "opaque", "recovery"], ...more,
    });
    const bodies = [this.#challenge.text, hello.json.text, body.text];
    this.send("WELCOME", 0, 0, { json: body, mac: secret ? prove(secret, "daemon", bodies) : "" });
    if (more.resumed !== true) this.#daemon.received = this.received;
    return hello.json.value;
  }

  /** Whether the worker's proof in `hello` is right. */
  proves(hello: Said<"HELLO">, secret: Uint8Array): boolean {
    return isProof(secret, "worker", [this.#challenge.text, hello.json.text], hello.mac);
  }

  send<Name extends FrameName>(name: Name, flags: number, conn: Conn, fields: Fields<Name>): void {
    const bytes = encode(name, flags, conn, fields);
    if (isCounted(FRAMES[name].type)) {
      this.#daemon.sent.frames += 1;
      this.#daemon.sent.bytes += bytes.length;
    }
    this.socket.write(bytes);
  }

  /** The oldest frame of one of these names that was not asked for yet. */
  async next<Name extends FrameName>(...names: Name[]): Promise<Said<Name>> {
    const at = this.inbox.findIndex((frame) => names.includes(frame.name as Name));
    if (at >= 0) return this.inbox.splice(at, 1)[0] as Said<Name>;
    if (this.#isClosed) throw new Error(`the link is closed, and ${names.join("/")} never came`);
    return new Promise((resolve, reject) => {
      // Not a wait in hope: it only says which frame a test that fails was waiting for.
      const timer = setTimeout(() => reject(new Error(`${names.join("/")} never came`)), NEXT_MS_MAX);
      const take = (frame: Frame): void => {
        clearTimeout(timer);
        resolve(frame as Said<Name>);
      };
      const fail = (error: Error): void => {
        clearTimeout(timer);
        reject(error);
      };
      this.#waiters.push({ names, take, fail });
    });
  }

  /** A text that a client would be sent. */
  async text(conn: Conn): Promise<string> {
    for (;;) {
      const frame = await this.next("SEND");
      if (frame.conn === conn) return frame.payload.toString();
    }
  }

  open(conn: Conn, more: Partial<Open> = {}): void {
    this.send("OPEN", 0, conn, { json: json(openOf(conn, more)) });
  }

  resume(conn: Conn, sockets: ResumedSocket[], more: Partial<Open> = {}): void {
    this.send("RESUME", 0, conn, { json: json({ ...openOf(conn, more), sockets }) });
  }

  /** A message of a client's. */
  data(conn: Conn, payload: string | Uint8Array): void {
    this.send("DATA", typeof payload === "string" ? 0 : FLAG.BINARY, conn, { payload });
  }

  /** A client that connects to a namespace: the answer's `sid`. */
  async connect(conn: Conn, nsp = "/", auth: object = {}): Promise<string> {
    const prefix = nsp === "/" ? "0" : `0${nsp},`;
    this.data(conn, prefix + JSON.stringify(auth));
    const answer = await this.text(conn);
    if (!answer.startsWith(`${prefix}{`)) throw new Error(`no connection: ${answer}`);
    return (JSON.parse(answer.slice(prefix.length)) as { sid: string }).sid;
  }

  /** Resolved when the worker has read all that was said to it, and all that it had said by then is here. */
  async heard(): Promise<void> {
    await new Promise((resolve) => { setImmediate(resolve); });
    this.#lastPing += 1n;
    this.send("PING", 0, 0, { number: this.#lastPing });
    await this.next("PONG");
  }

  cut(): void {
    this.socket.destroy();
  }

  #read(chunk: Buffer): void {
    this.#reader.push(chunk);
    for (let raw = this.#reader.next(); raw; raw = this.#reader.next()) {
      const frame = decode(raw, "daemon");
      if (frame === undefined) continue;
      if (isCounted(raw.type)) this.#count(HEADER_BYTES + raw.body.length);
      if (frame.name === "CREDIT" || frame.name === "PING") this.#answer(frame);
      else this.#give(frame);
    }
  }

  #answer(frame: Frame): void {
    if (frame.name === "PING" && this.#daemon.answersPings) this.send("PONG", 0, 0, { number: frame.number });
    if (frame.name !== "CREDIT") return;
    this.#daemon.credit = { frames: Number(frame.frames), bytes: Number(frame.bytes) };
    this.#daemon.credits.push({ frames: Number(frame.frames), behind: this.#daemon.received.frames });
  }

  #count(bytes: number): void {
    const received = this.#daemon.received;
    received.frames += 1;
    received.bytes += bytes;
    if (this.credits) this.send("CREDIT", 0, 0, { frames: BigInt(received.frames), bytes: BigInt(received.bytes) });
  }

  #give(frame: Frame): void {
    const at = this.#waiters.findIndex(({ names }) => names.includes(frame.name));
    if (at < 0) this.inbox.push(frame);
    else this.#waiters.splice(at, 1)[0]?.take(frame);
  }
}

function openOf(conn: Conn, more: Partial<Open>): Open {
  return {
    sid: `sid-${conn}`, proto: 4, transport: "websocket", address: "192.0.2.7", secure: false, method: "GET",
    url: "/socket.io/?EIO=4&transport=websocket", headers: [["Host", "example.test"]], ...more,
  };
}

/** Accepts links, one test's at a time. */
export class PeerDaemon {
  readonly url: string;
  epoch = EPOCH;
  answersPings = true;
  /** Of the worker that was welcomed last, over all its links. */
  received = { frames: 0, bytes: 0 };
  /** Counted frames that were sent to it, and their bytes. */
  readonly sent = { frames: 0, bytes: 0 };
  /** What the worker said last that it had dealt with. */
  credit = { frames: 0, bytes: 0 };
  /** Each time, and how many counted frames of the worker's were before that. */
  readonly credits: { frames: number; behind: number }[] = [];
  readonly #server: Server;
  readonly #folder: string;
  readonly #links: PeerLink[] = [];
  readonly #waiting: ((link: PeerLink) => void)[] = [];
  readonly #all = new Set<PeerLink>();

  private constructor(server: Server, url: string, folder: string) {
    this.#server = server;
    this.url = url;
    this.#folder = folder;
    server.on("connection", (socket) => {
      const link = new PeerLink(this, socket, this.epoch);
      this.#all.add(link);
      const waiting = this.#waiting.shift();
      if (waiting) waiting(link);
      else this.#links.push(link);
    });
  }

  static async listen(transport: "unix" | "tcp" = "unix"): Promise<PeerDaemon> {
    const folder = mkdtempSync(join(tmpdir(), "rwlink-"));
    const path = join(folder, "link.sock");
    const server = createServer();
    if (transport === "unix") server.listen(path);
    else server.listen(0, "127.0.0.1");
    await once(server, "listening");
    const url = transport === "unix" ? `unix:${path}` : `tcp://127.0.0.1:${(server.address() as AddressInfo).port}`;
    return new PeerDaemon(server, url, folder);
  }

  /** The next link that a worker makes. */
  accept(): Promise<PeerLink> {
    const link = this.#links.shift();
    if (link) return Promise.resolve(link);
    return new Promise((resolve) => this.#waiting.push(resolve));
  }

  close(): void {
    this.#server.close();
    for (const link of this.#all) link.cut();
    rmSync(this.#folder, { recursive: true, force: true });
  }
}
