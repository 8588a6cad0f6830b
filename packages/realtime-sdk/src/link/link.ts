// One link to the daemon: the socket, the handshake, the window on both directions, coming back after a cut.
//
// Deliberately absent: what the frames of connections and namespaces mean; they go to the handler.

import { connect, type Socket } from "node:net";

import { parseAddress, type LinkAddress } from "./address.js";
import { Backoff, type BackoffOptions } from "./backoff.js";
import { decode, encode, FrameReader, type RawFrame } from "./codec.js";
import { Dropping } from "./dropping.js";
import { LinkError } from "./errors.js";
import { beforeFall } from "./fall.js";
import { FLAG, FRAMES, HEADER_BYTES, type Conn, type Fields, type Frame, type FrameName } from "./frames.js";
import { json, type Challenge, type Goaway, type Hello, type Json, type Welcome } from "./json.js";
import { isProof, nonce, prove, SECRET_BYTES_MIN } from "./proof.js";
import { Incoming, Outgoing, WINDOW_DEFAULT, type WindowSize } from "./window.js";

/** The version that is spoken here. */
const PROTO: [number, number] = [1, 0];
/** A batch of this many bytes does not wait for the end of the event loop's turn. */
const BATCH_BYTES = 128 << 10;
/** What may lie in the socket's own buffer; the rest stays where it can still be counted. */
const SOCKET_BYTES_MAX = 1 << 20;
/** How long a peer may take to read why the link ends. */
const FAREWELL_MS_MAX = 1_000;
/** What is read at once, into the same memory each time: by default Node makes anew what it reads into, which costs more than the events in it. */
const READ_BYTES = 64 << 10;
/** How long CREDIT may wait for something else to be said. The daemon's window is far from full until then, and its patience is of seconds. */
const CREDIT_MS_MAX = 20;
/** How long CREDIT may wait for answers that wait for the daemon, which takes a worker for stuck that deals with nothing for some seconds. */
const CREDIT_BEHIND_MS_MAX = 1_000;
/** Unanswered PINGs after which the link is lost. */
const PINGS_MAX = 3;

/** Frames that go later when there is no daemon now: they are for the application's clients as a whole. */
const LASTING_TYPES: ReadonlySet<number> = new Set([FRAMES.BCAST.type, FRAMES.BUS.type, FRAMES.MOVE.type]);
/** Of these, the ones that a worker drops when too much waits. Who is in which room must not be left out: what is dropped is told, and not who would hear what comes next. */
const DROPPED_TYPES: ReadonlySet<number> = new Set([FRAMES.BCAST.type, FRAMES.BUS.type]);
/** Where a frame's type stands, behind its length, and behind that its flags. */
const TYPE_AT = 4;
const FLAGS_AT = 5;

/** What waits for a daemon: frames for one that has a part of the protocol, and for one that has not. */
interface Lasting {
  readonly able: readonly Buffer[];
  readonly other?: readonly Buffer[];
}

/** Settings of a link. */
export interface LinkOptions {
  readonly url: string;
  readonly secret?: Uint8Array;
  readonly app: string;
  readonly instance: string;
  /** An emitter serves nobody, and keeps what it has to say. @defaultValue `"worker"` */
  readonly role?: "worker" | "emitter";
  readonly name?: string;
  readonly weight?: number;
  readonly backoff: BackoffOptions;
  readonly ping_ms: number;
  readonly handshake_ms: number;
  /** What may wait for the daemon before broadcasts are dropped; at twice as much the session is given up. */
  readonly queue_bytes_max: number;
}

/** Who the link works for. */
export interface LinkHandler {
  /** Frames may be sent. When it is no resumption, the daemon knows nothing of this worker yet. */
  opened(resumed: boolean): void;
  /** The socket is gone; the session may still be resumed. */
  down(cause: Error): void;
  /** There is no link; it is tried again behind so many milliseconds. */
  retrying(cause: Error, delay_ms: number): void;
  /** The session is gone: all that the daemon knew of this worker is void. */
  lost(cause: Error): void;
  /** A frame of a connection, a namespace or the daemon's leave. */
  frame(frame: Frame): void;
  /** More is worth sending again, behind {@link Link.isWritable} having been false for somebody. */
  writable(): void;
  /** What went wrong, and was answered by closing the socket. */
  fault(error: LinkError): void;
}

/** The links of this process that are open: mostly there is one. */
const open = new Set<Link>();

type Phase = "idle" | "challenge" | "welcome" | "open" | "stopping" | "stopped";

/** A link; {@link Link.start} connects, and it connects again until {@link Link.stop}. */
export class Link {
  readonly #options: LinkOptions;
  readonly #handler: LinkHandler;
  readonly #address: LinkAddress;
  readonly #backoff: Backoff;
  readonly #outgoing = new Outgoing();
  readonly #incoming = new Incoming();
  readonly #dropping: Dropping;

  #phase: Phase = "idle";
  #socket: Socket | undefined;
  #reader = new FrameReader();
  #window: WindowSize = WINDOW_DEFAULT;
  /** What can be resumed: there is one from the first WELCOME until it is lost. */
  #session: { epoch: string; grace_ms: number } | undefined;
  #caps: ReadonlySet<string> = new Set();
  #native: ReadonlySet<string> = new Set();
  #payload_bytes_max: number | undefined;
  #challenge: Json<Challenge> | undefined;
  #hello: Json<Hello> | undefined;
  /** What waits for a daemon while there is no session. */
  #lasting: { entries: Lasting[]; bytes: number } = { entries: [], bytes: 0 };

  /** Somebody was told that nothing is worth sending now. */
  #isAwaited = false;
  /** Who waits until the daemon has dealt with so many frames. */
  #listeners: { frames: number; heard: () => void }[] = [];
  #isPumpDue = false;
  #creditTimer: NodeJS.Timeout | undefined;
  /** How often in a row it had nothing to tell, as answers had not gone. */
  #creditWaits = 0;
  /** Counted frames that were handed on in this turn of the event loop. */
  #dispatchedFrames = 0;
  #dispatchedBytes = 0;
  #isDealDue = false;
  #pings = 0n;
  #pingsUnanswered = 0;
  #pingTimer: NodeJS.Timeout | undefined;
  #handshakeTimer: NodeJS.Timeout | undefined;
  #retryTimer: NodeJS.Timeout | undefined;
  #graceTimer: NodeJS.Timeout | undefined;
  #goaway: Goaway | undefined;
  #holds = false;
  #forgetFall: () => void = () => {};
  #resolveStopped: () => void = () => {};
  readonly #stopped = new Promise<void>((resolve) => { this.#resolveStopped = resolve; });

  constructor(options: LinkOptions, handler: LinkHandler) {
    this.#options = options;
    this.#handler = handler;
    this.#address = parseAddress(options.url);
    this.#backoff = new Backoff(options.backoff);
    this.#dropping = new Dropping(options.queue_bytes_max, (error) => handler.fault(error));
    if (this.#address.needsProof && (options.secret?.byteLength ?? 0) < SECRET_BYTES_MIN) {
      throw new TypeError(`a link over TCP needs a secret of at least ${SECRET_BYTES_MIN} bytes`);
    }
  }

  /** Whether something that may be dropped is worth sending now. */
  get isWritable(): boolean {
    const isWritable = this.#phase === "open" && this.#outgoing.keptBytes < this.#window.bytes;
    if (!isWritable) this.#isAwaited = true;
    return isWritable;
  }

  #tellWritable(): void {
    if (!this.#isAwaited || !this.isWritable) return;
    this.#isAwaited = false;
    this.#handler.writable();
  }

  /** Whether the daemon knows this worker, though perhaps it is out of reach for a moment. */
  get hasSession(): boolean {
    return this.#session !== undefined;
  }

  start(): void {
    if (this.#phase !== "idle") return;
    this.#forgetFall = beforeFall(() => this.#fall());
    this.#connect();
  }

  /** By that the daemon tells a process that dies of what a client says from one that is killed. */
  #fall(): void {
    if (this.#phase !== "open" || this.#isEmitter) return;
    this.#writeNow(encode("ERROR", 0, 0, { code: "exception", message: "an exception ends the process" }));
  }

  /** Sends a counted frame, now or when the link is back. */
  send<Name extends FrameName>(name: Name, flags: number, conn: Conn, fields: Fields<Name>): void {
    if (this.#phase === "stopped") return;
    const { type } = FRAMES[name];
    if (this.#session !== undefined) this.#send(type, encode(name, flags, conn, fields));
    else if (LASTING_TYPES.has(type)) this.#keepLasting({ able: [encode(name, flags, conn, fields)] });
  }

  /** Moves sockets by what a daemon that does it is told, or else others are. While there is no daemon both wait for it: it may be another one. */
  sendMoves(moves: readonly Fields<"MOVE">[], bus: () => Fields<"BUS">): void {
    if (this.#phase === "stopped") return;
    const able = (): Buffer[] => moves.map((move) => encode("MOVE", 0, 0, move));
    const other = (): Buffer[] => [encode("BUS", 0, 0, bus())];
    if (this.#session === undefined) return this.#keepLasting({ able: able(), other: other() });
    // All are made before one is sent: what no frame can say is an error of whoever asks, and nothing has happened.
    for (const frame of this.can("move") ? able() : other()) {
      if (this.#session === undefined) return;
      this.#send(frame.readUInt8(TYPE_AT), frame);
    }
  }

  #send(type: number, frame: Buffer): void {
    const bytes_max = this.#options.queue_bytes_max;
    if (this.#isEmitter && LASTING_TYPES.has(type) && this.#outgoing.keptBytes + frame.length > bytes_max) {
      return this.#handler.fault(new LinkError("queue-full", "a message was dropped: too much waits for the daemon"));
    }
    // What others have to know before something else is not left out either.
    const isDropped = DROPPED_TYPES.has(type) && !(type === FRAMES.BUS.type && frame.readUInt8(FLAGS_AT) & FLAG.VOLATILE);
    if (!this.#isEmitter && isDropped && this.#dropping.drops(this.#outgoing.keptBytes, frame.length)) return;
    this.#outgoing.push(frame);
    // What is about one client cannot be left out: there is as much room for that again.
    if (this.#outgoing.keptBytes > bytes_max * (this.#isEmitter ? 1 : 2)) {
      this.#giveUp(new LinkError("queue-full", `${this.#outgoing.keptBytes} bytes wait for the daemon`));
    } else {
      this.#pumpLater();
    }
  }

  /** What was sent goes now, and not with the rest of this turn of the event loop. */
  flush(): void {
    this.#pump();
  }

  /** What other servers of this process have said by now goes before what is said next here. */
  flushOthers(): void {
    for (const link of open) if (link !== this && link.#isPumpDue) link.#pump();
  }

  /** Calls `heard` when the daemon has dealt with all that was sent so far; never when the session is lost before. */
  whenHeard(heard: () => void): void {
    this.#listeners.push({ frames: this.#outgoing.allFrames, heard });
  }

  #tellHeard(): void {
    while (this.#listeners[0] && this.#listeners[0].frames <= this.#outgoing.dealtFrames) {
      try {
        this.#listeners.shift()?.heard();
      } catch (error) {
        this.#rethrow(error);
      }
    }
  }

  /** Says that this worker wants to go, and stays. */
  announce(goaway: Goaway): void {
    if (this.#phase === "open") this.#writeNow(encode("GOAWAY", 0, 0, { json: json(goaway) }));
  }

  /** Deals with nothing more: what comes from now on is for the next worker, and is not credited. */
  hold(): void {
    this.#holds = true;
  }

  /** Says GOAWAY behind all that was sent, and closes. */
  stop(goaway: Goaway): Promise<void> {
    this.hold();
    if (this.#phase === "open") {
      this.#phase = "stopping";
      this.#goaway = goaway;
      setTimeout(() => this.#finish(), goaway.deadline_ms).unref();
      this.#pump();
    } else if (this.#phase !== "stopping") {
      this.#finish();
    }
    return this.#stopped;
  }

  #connect(): void {
    const callback = (length: number, buffer: Uint8Array): boolean => {
      this.#read(socket, buffer as Buffer, length);
      return true;
    };
    const socket: Socket = connect({ ...this.#address.connect, onread: { buffer: Buffer.allocUnsafe(READ_BYTES), callback } });
    this.#socket = socket;
    this.#reader = new FrameReader();
    this.#phase = "challenge";
    let cause = new Error("the daemon closed the link");
    socket.on("drain", () => this.#pump());
    socket.on("error", (error) => { cause = error; });
    socket.on("close", () => { if (socket === this.#socket) this.#down(cause); });
    this.#handshakeTimer = setTimeout(() => {
      this.#fault(new LinkError("silent", "no handshake in time"));
    }, this.#options.handshake_ms);
  }

  #read(socket: Socket, buffer: Buffer, length: number): void {
    if (socket !== this.#socket) return;
    const reader = this.#reader;
    try {
      reader.push(buffer.subarray(0, length));
      // A frame may end the link: what follows it is nobody's then.
      for (let raw = reader.next(); raw && socket === this.#socket; raw = reader.next()) this.#take(raw);
      if (this.#dispatchedFrames > 0) this.#dealSoon();
    } catch (error) {
      if (!(error instanceof LinkError)) throw error;
      this.#fault(error);
    } finally {
      // Whatever was thrown: the buffer is read into again.
      reader.release();
    }
  }

  #take(raw: RawFrame): void {
    const frame = decode(raw, "worker");
    if (frame === undefined) return;
    if (frame.name === "ERROR") return this.#refused(new LinkError(frame.code, frame.message, true));
    switch (this.#phase) {
      case "challenge":
        if (frame.name !== "CHALLENGE") throw outOfTurn(frame);
        return this.#answer(frame.json);
      case "welcome":
        if (frame.name !== "WELCOME") throw outOfTurn(frame);
        return this.#welcome(frame.json, frame.mac);
      default:
        return this.#takeOpen(frame, HEADER_BYTES + raw.bodyBytes);
    }
  }

  #takeOpen(frame: Frame, bytes: number): void {
    switch (frame.name) {
      case "CHALLENGE": case "WELCOME": throw outOfTurn(frame);
      case "PING": {
        this.#tellCredit(true);
        return this.#writeNow(encode("PONG", 0, 0, { number: frame.number }));
      }
      case "PONG": {
        if (frame.number === this.#pings) this.#pingsUnanswered = 0;
        return;
      }
      case "CREDIT": {
        this.#outgoing.credit({ frames: Number(frame.frames), bytes: Number(frame.bytes) });
        this.#dropping.look(this.#outgoing.keptBytes);
        this.#tellHeard();
        this.#pump();
        return this.#tellWritable();
      }
      case "GOAWAY": return this.#dispatch(frame);
      default: {
        this.#incoming.receive(bytes);
        if (this.#holds) return;
        const session = this.#session;
        this.#dispatch(frame);
        // What a handler says may be too much: the session was given up within, and nothing of it is counted any more.
        if (session !== this.#session) return;
        this.#dispatchedFrames += 1;
        this.#dispatchedBytes += bytes;
      }
    }
  }

  /** An exception of the application's is the process's affair, as with any event; the count of frames must not suffer. */
  #dispatch(frame: Frame): void {
    if (this.#phase !== "open") return;
    try {
      this.#handler.frame(frame);
    } catch (error) {
      this.#rethrow(error);
    }
  }

  #rethrow(error: unknown): void {
    if (error instanceof LinkError) throw error;
    process.nextTick(() => { throw error; });
  }

  /** Socket.IO hands on what it was given some ticks later: before, a process that dies has heard nothing of it. */
  #dealSoon(): void {
    if (this.#isDealDue) return;
    this.#isDealDue = true;
    setImmediate(() => {
      this.#isDealDue = false;
      this.#deal();
      this.#tellCredit(false);
      if (this.#socket && this.#incoming.owes) this.#tellCreditSoon();
    });
  }

  #deal(): void {
    this.#incoming.deal(this.#dispatchedBytes, this.#dispatchedFrames, this.#outgoing.allFrames);
    this.#dispatchedFrames = this.#dispatchedBytes = 0;
  }

  #tellCredit(isTime: boolean): void {
    const credit = this.#credit(isTime);
    if (credit) this.#writeNow(credit);
  }

  #credit(isTime: boolean, behind = this.#outgoing.handedFrames): Buffer | undefined {
    if (this.#phase !== "open" && this.#phase !== "stopping") return undefined;
    const sum = this.#incoming.credit(isTime, behind);
    if (sum === undefined) return undefined;
    this.#creditWaits = 0;
    return encode("CREDIT", 0, 0, { frames: BigInt(sum.frames), bytes: BigInt(sum.bytes) });
  }

  /** Mostly an answer goes, and the credit with it: alone it would be a system call for each event. */
  #tellCreditSoon(): void {
    this.#creditTimer ??= setTimeout(() => {
      this.#creditTimer = undefined;
      this.#tellCredit(true);
      if (this.#incoming.owes) this.#waitForAnswers();
    }, CREDIT_MS_MAX);
  }

  /** They go, and the credit behind them, as soon as the daemon takes them. */
  #waitForAnswers(): void {
    this.#creditWaits += 1;
    if (this.#creditWaits * CREDIT_MS_MAX < CREDIT_BEHIND_MS_MAX) return this.#tellCreditSoon();
    const credit = this.#credit(true, Infinity);
    if (credit) this.#writeNow(credit);
  }

  #forgetCredit(): void {
    clearTimeout(this.#creditTimer);
    this.#creditTimer = undefined;
    this.#creditWaits = 0;
  }

  #answer(challenge: Json<Challenge>): void {
    const [major, minor] = challenge.value.proto;
    if (major !== PROTO[0]) {
      throw new LinkError("version", `the daemon speaks rwlink ${major}.${minor}, this worker ${PROTO[0]}.0`);
    }
    const { app, instance, name, weight } = this.#options;
    const session = this.#session;
    const hello = json<Hello>({
      proto: PROTO,
      app,
      instance,
      role: this.#options.role ?? "worker",
      nonce: nonce(),
      // HOLD is said again when a client that was taken over is back (connection.ts), and MOVED is understood (moves.ts).
      caps: this.#isEmitter ? [] : ["hold", "move"],
      ...(name === undefined ? {} : { name }),
      ...(weight === undefined ? {} : { weight }),
      ...(session ? { resume: { epoch: session.epoch, received: this.#incoming.resume() } } : {}),
    });
    this.#challenge = challenge;
    this.#hello = hello;
    this.#phase = "welcome";
    this.#writeNow(encode("HELLO", 0, 0, { json: hello, mac: this.#prove([challenge.text, hello.text]) }));
  }

  #prove(bodies: readonly string[]): string {
    return this.#address.needsProof ? prove(this.#secret(), "worker", bodies) : "";
  }

  #secret(): Uint8Array {
    return this.#options.secret ?? new Uint8Array();
  }

  /** Whether the daemon has an optional part of the protocol (docs/link.md). */
  can(cap: string): boolean {
    return this.#caps.has(cap);
  }

  /** Bytes of a client's message at most, if the daemon says it. */
  get payload_bytes_max(): number | undefined {
    return this.#payload_bytes_max;
  }

  /** Whether a namespace is the daemon's own. Every server has a `/`, and need not know. */
  isNative(namespace: string): boolean {
    return namespace !== "/" && this.#native.has(namespace);
  }

  #welcome(welcome: Json<Welcome>, mac: string): void {
    const challenge = this.#challenge as Json<Challenge>;
    const hello = this.#hello as Json<Hello>;
    const bodies = [challenge.text, hello.text, welcome.text];
    // The worker trusts addresses and headers from the daemon only, so that the daemon proves itself too.
    if (this.#address.needsProof && !isProof(this.#secret(), "daemon", bodies, mac)) {
      throw new LinkError("proof", "the daemon does not know the secret");
    }
    const { epoch, resumed, received, window, grace_ms, proto } = welcome.value;
    if (proto[0] !== PROTO[0]) throw new LinkError("version", `the daemon chose rwlink ${proto[0]}.${proto[1]}`);
    if (epoch !== challenge.value.epoch) throw new LinkError("bad-value", "WELCOME has another epoch than CHALLENGE");
    if (window.frames < 1 || window.bytes < 1) throw new LinkError("bad-value", "a window of nothing");
    if (resumed) this.#resume(epoch, received);
    else this.#begin();
    this.#session = { epoch, grace_ms };
    this.#caps = new Set(welcome.value.caps);
    this.#native = new Set(welcome.value.native);
    this.#payload_bytes_max = welcome.value.payload_bytes_max;
    this.#window = this.#outgoing.window = this.#incoming.window = window;
    this.#open(resumed);
  }

  #resume(epoch: string, received: number): void {
    if (this.#session?.epoch !== epoch || this.#hello?.value.resume === undefined) {
      throw new LinkError("out-of-turn", "the daemon resumes what it was not asked for");
    }
    this.#outgoing.resume(received);
    this.#tellHeard();
  }

  #begin(): void {
    if (this.#session) this.#lose(new Error("the daemon does not know this worker any more"));
    this.#listeners = [];
    this.#outgoing.reset();
    this.#incoming.reset();
  }

  #open(resumed: boolean): void {
    this.#phase = "open";
    open.add(this);
    clearTimeout(this.#handshakeTimer);
    clearTimeout(this.#graceTimer);
    this.#backoff.reset();
    this.#pingsUnanswered = 0;
    this.#pingTimer = setInterval(() => this.#ping(), this.#options.ping_ms);
    this.#handler.opened(resumed);
    // What waited comes behind what the handler had to say first, its namespaces.
    const { entries } = this.#lasting;
    this.#lasting = { entries: [], bytes: 0 };
    for (const frame of entries.flatMap((entry) => this.#asItCan(entry))) this.#outgoing.push(frame);
    this.#pump();
    this.#tellWritable();
  }

  /** What waited was made before it was known what the daemon can: one that keeps nothing is not asked to, nor one to move sockets that does not. */
  #asItCan({ able, other }: Lasting): readonly Buffer[] {
    const isMove = (frame: Buffer): boolean => frame.readUInt8(TYPE_AT) === FRAMES.MOVE.type;
    if (!this.can("move") && able.some(isMove)) {
      // What an emitter had said to another daemon.
      if (other === undefined) this.#handler.fault(new LinkError("unsent", "sockets were not moved: this daemon cannot"));
      return other ?? [];
    }
    for (const frame of able) {
      if (frame.readUInt8(TYPE_AT) === FRAMES.BCAST.type && !this.can("recovery")) frame.writeUInt8(frame.readUInt8(FLAGS_AT) & ~FLAG.RECOVER, FLAGS_AT);
    }
    return able;
  }

  get #isEmitter(): boolean {
    return this.#options.role === "emitter";
  }

  #keepLasting(entry: Lasting): void {
    const bytes_max = this.#isEmitter ? this.#options.queue_bytes_max : this.#window.bytes;
    const bytes = [...entry.able, ...(entry.other ?? [])].reduce((sum, { length }) => sum + length, 0);
    if (this.#lasting.bytes + bytes > bytes_max) {
      this.#handler.fault(new LinkError("queue-full", "a broadcast was dropped, as there is no daemon"));
      return;
    }
    this.#lasting.entries.push(entry);
    this.#lasting.bytes += bytes;
  }

  #ping(): void {
    if (this.#pingsUnanswered >= PINGS_MAX) {
      return this.#fault(new LinkError("silent", `${PINGS_MAX} pings without an answer`));
    }
    this.#pings += 1n;
    this.#pingsUnanswered += 1;
    this.#writeNow(encode("PING", 0, 0, { number: this.#pings }));
  }

  #writeNow(bytes: Buffer): void {
    if (this.#socket?.writable) this.#socket.write(bytes);
  }

  /** Frames of one turn of the event loop go together. */
  #pumpLater(): void {
    if (this.#isPumpDue) return;
    this.#isPumpDue = true;
    setImmediate(() => this.#pump());
  }

  #pump(): void {
    this.#isPumpDue = false;
    const socket = this.#socket;
    const isStopping = this.#phase === "stopping";
    // Behind GOAWAY nothing is said.
    if (!socket || !(this.#phase === "open" || (isStopping && this.#goaway))) return;
    while (socket.writableLength < SOCKET_BYTES_MAX) {
      const batch = this.#batch();
      if (batch === undefined) break;
      socket.write(batch);
    }
    if (isStopping && this.#goaway && !this.#outgoing.waits) {
      this.#deal();
      this.#tellCredit(true);
      socket.end(encode("GOAWAY", 0, 0, { json: json(this.#goaway) }));
      this.#goaway = undefined;
    }
  }

  #batch(): Buffer | undefined {
    const frames: Buffer[] = [];
    let bytes = 0;
    while (bytes < BATCH_BYTES) {
      const frame = this.#outgoing.next();
      if (frame === undefined) break;
      frames.push(frame);
      bytes += frame.length;
    }
    const credit = frames.length > 0 ? this.#credit(true) : undefined;
    if (credit) {
      frames.push(credit);
      bytes += credit.length;
    }
    return frames.length > 1 ? Buffer.concat(frames, bytes) : frames[0];
  }

  /** Says what is wrong and closes; the next attempt begins anew or resumes. */
  #fault(error: LinkError): void {
    const socket = this.#socket;
    this.#socket = undefined;
    if (socket?.writable && !error.remote) {
      socket.end(encode("ERROR", 0, 0, { code: error.code, message: error.message.slice(0, 1000) }));
      // What still comes is read and dropped: closing before would take the ERROR back. A peer that does not close is not waited for.
      setTimeout(() => socket.destroy(), FAREWELL_MS_MAX).unref();
    } else {
      socket?.destroy();
    }
    this.#handler.fault(error);
    this.#down(error);
  }

  #refused(error: LinkError): void {
    const wasOpen = this.#phase === "open";
    this.#fault(error);
    if (!(wasOpen && this.#isEmitter && error.code === "not-allowed")) return;
    // An emitter has nobody that goes on: what was refused would be refused again, and with it what stands behind it.
    this.#outgoing.reset();
    this.#lasting = { entries: [], bytes: 0 };
    if (this.#session) this.#lose(error);
  }

  #giveUp(error: LinkError): void {
    this.#fault(error);
    if (this.#session) this.#lose(error);
  }

  #down(cause: Error): void {
    this.#socket = undefined;
    open.delete(this);
    // It would come again.
    this.#deal();
    clearTimeout(this.#handshakeTimer);
    clearInterval(this.#pingTimer);
    this.#forgetCredit();
    if (this.#phase === "stopping" || this.#phase === "stopped") return this.#finish();
    const wasOpen = this.#phase === "open";
    this.#phase = "idle";
    const session = this.#session;
    if (wasOpen && session) {
      this.#graceTimer = setTimeout(() => this.#lose(cause), session.grace_ms);
    }
    const delay_ms = this.#backoff.next();
    this.#retryTimer = setTimeout(() => this.#connect(), delay_ms);
    if (wasOpen) this.#handler.down(cause);
    this.#handler.retrying(cause, delay_ms);
  }

  /** Behind this the daemon gives the clients to others, so that this side must not believe that it has them. */
  #lose(cause: Error): void {
    clearTimeout(this.#graceTimer);
    this.#session = undefined;
    if (this.#isEmitter) this.#keepUnsent();
    this.#outgoing.reset();
    this.#incoming.reset();
    this.#dropping.look(0);
    this.#handler.lost(cause);
  }

  /** What an emitter's link was not handed goes when there is a daemon again; of the rest nobody knows. */
  #keepUnsent(): void {
    const isLasting = (frame: Buffer): boolean => LASTING_TYPES.has(frame.readUInt8(TYPE_AT));
    const { onWay, unsent } = this.#outgoing.kept();
    for (const frame of unsent.filter(isLasting)) this.#keepLasting({ able: [frame] });
    const unsure = onWay.filter(isLasting).length;
    if (unsure > 0) this.#handler.fault(new LinkError("unsure", `${unsure} messages may have been heard or not`));
  }

  #tellUnsent(): void {
    const unsent = this.#lasting.entries.length + this.#outgoing.kept().unsent.length;
    if (this.#isEmitter && unsent > 0) this.#handler.fault(new LinkError("unsent", `${unsent} messages were not sent`));
  }

  #finish(): void {
    if (this.#phase === "stopped") return;
    this.#phase = "stopped";
    open.delete(this);
    this.#forgetFall();
    this.#tellUnsent();
    const socket = this.#socket;
    this.#socket = undefined;
    socket?.destroy();
    clearTimeout(this.#handshakeTimer);
    clearTimeout(this.#retryTimer);
    clearTimeout(this.#graceTimer);
    clearInterval(this.#pingTimer);
    this.#forgetCredit();
    this.#session = undefined;
    this.#resolveStopped();
  }
}

function outOfTurn(frame: Frame): LinkError {
  return new LinkError("out-of-turn", `${frame.name} (${FRAMES[frame.name].type})`);
}
