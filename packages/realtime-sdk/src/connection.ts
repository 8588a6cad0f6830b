// One client's connection as Socket.IO sees it: what engine.io's Socket is when the daemon owns the real one.
//
// Deliberately absent: pings, probes and the handshake, which Socket.IO never saw either.

import { EventEmitter } from "node:events";

import { Answers } from "./answers.js";
import type { Busy } from "./busy.js";
import { FLAG, type Conn, type Fields, type FrameName } from "./link/frames.js";
import type { Open } from "./link/json.js";
import { listenersClass, slim } from "./listeners.js";
import { VirtualRequest } from "./request.js";

/** What `disconnect` handlers are told, by the reason in CLOSE. */
export const CLOSE_REASONS = ["transport close", "transport error", "ping timeout", "parse error", "forced close"] as const;

/** Why a connection ended. */
export type CloseReason = (typeof CLOSE_REASONS)[number] | "server shutting down";

/** The first byte of a Socket.IO packet that asks for a namespace. */
const CONNECT = "0";
/** How a CONNECT for another namespace than the main one begins. */
const FURTHER = "0/";

/** How long a CONNECT for a further namespace waits for one more of the same breath. */
const AGAIN_MS = 10;

/** The transports by their number in TRANSPORT. */
export const TRANSPORTS = ["polling", "websocket"] as const;

/** What Socket.IO writes: a text packet or an attachment. */
export type PacketData = string | ArrayBuffer | ArrayBufferView;

/** The options of a packet that have a meaning here. */
export interface PacketOptions {
  compress?: boolean;
  volatile?: boolean;
}

/** Where frames of a connection go. */
export interface ConnectionPort {
  readonly isWritable: boolean;
  /** Whether packets are Socket.IO's text: the daemon sees by itself where one ends. */
  readonly parsesText: boolean;
  /** Whether HOLD is obeyed. */
  readonly canHold: boolean;
  /** Handlers that one client may have running before no more is received from it. */
  readonly handlers_max: number;
  /** The handlers of all clients. */
  readonly busy: Busy;
  send<Name extends FrameName>(name: Name, flags: number, conn: Conn, fields: Fields<Name>): void;
  /** The connection ended here. */
  forget(connection: VirtualConnection): void;
  /** Calls {@link VirtualConnection.drain} when the daemon takes more again. */
  awaitDrain(connection: VirtualConnection): void;
  /** Somebody listens to what is sent to the client, whoever sends it. */
  overhear(connection: VirtualConnection): void;
}

/** What stands between Socket.IO and the client while a resumed client's namespaces come back. */
export interface OutgoingFilter {
  write(data: PacketData, options: PacketOptions): void;
}

/** The way to the client: its name, and whether what may be dropped is worth sending. */
export class VirtualTransport {
  readonly name: string;
  readonly #connection: VirtualConnection;

  constructor(connection: VirtualConnection, name: string) {
    this.#connection = connection;
    this.name = name;
  }

  get writable(): boolean {
    return this.#connection.isWritable;
  }
}

/** Listeners of connections. */
const Listeners = listenersClass();

/** A client's connection; `io.on("connection")` gives it as `socket.conn`. */
export class VirtualConnection extends EventEmitter {
  readonly id: string;
  readonly protocol: number;
  readonly remoteAddress: string;
  readonly server: EventEmitter;
  /** An own property, as applications delete it to let the memory go. */
  request?: VirtualRequest;
  /** The transport, or its name until somebody asks for more. */
  #transport: VirtualTransport | string;
  readyState: "open" | "closing" | "closed" = "open";
  /** @internal It goes on at another worker: nothing of it is kept for a client that comes back. */
  isHandedOver = false;
  upgrading = false;
  upgraded = false;

  /** The connection's number on the link. */
  readonly ref: Conn;
  readonly #port: ConnectionPort;
  #isPressed = false;
  #held: { data: string | Buffer }[] | undefined;
  #heldBytes = 0;
  /** What came in one chunk with a CONNECT, and behind it. */
  #behind: (string | Buffer)[] | undefined;
  /** It was given a CONNECT. */
  #hasAsked = false;
  #filter: OutgoingFilter | undefined;
  /** What the client waits for. */
  readonly #answers = new Answers();
  #running = 0;
  /** Of its own as many handlers run as may. */
  #isFull = false;
  /** Of all clients together (busy.ts). */
  #waits = false;
  #settling: { done: () => void; timer: NodeJS.Timeout } | undefined;
  /** Who waits until nothing is held. */
  #awaited: (() => void) | undefined;
  /** Of the last part that was sent: Socket.IO writes the parts of one packet with the same object. */
  #options: PacketOptions | undefined;

  /** @internal */
  constructor(server: EventEmitter, port: ConnectionPort, ref: Conn, open: Open, request?: VirtualRequest) {
    super();
    slim(this, Listeners);
    this.server = server;
    this.#port = port;
    this.ref = ref;
    this.id = open.sid;
    this.protocol = open.proto;
    this.remoteAddress = open.address;
    this.request = request ?? new VirtualRequest(open);
    this.#transport = TRANSPORTS.find((name) => name === open.transport) ?? open.transport;
  }

  /** How it travels now. */
  get transport(): VirtualTransport {
    if (typeof this.#transport === "string") this.#transport = new VirtualTransport(this, this.#transport);
    return this.#transport;
  }

  /** Whether the client, and the daemon before it, take more now. Of a client that is not ready PRESSURE says when it is; of the daemon nobody would. */
  get isWritable(): boolean {
    if (this.readyState !== "open" || this.#isPressed) return false;
    const isWritable = this.#port.isWritable;
    if (!isWritable) this.#port.awaitDrain(this);
    return isWritable;
  }

  override on(event: string | symbol, listener: (...args: never[]) => void): this {
    super.on(event, listener as (...args: unknown[]) => void);
    if (event === "packetCreate") this.overhear();
    return this;
  }

  override addListener(event: string | symbol, listener: (...args: never[]) => void): this {
    return this.on(event, listener);
  }

  override prependListener(event: string | symbol, listener: (...args: never[]) => void): this {
    super.prependListener(event, listener as (...args: unknown[]) => void);
    if (event === "packetCreate") this.overhear();
    return this;
  }

  /** @internal Broadcasts are to be told to this connection's listeners, or to its sockets'. */
  overhear(): void {
    this.#port.overhear(this);
  }

  /** Sends a message to the client. */
  write(data: PacketData, options: PacketOptions = {}, callback?: (transport: VirtualTransport) => void): this {
    return this.sendPacket("message", data, options, callback);
  }

  /** Sends a message to the client. */
  send(data: PacketData, options: PacketOptions = {}, callback?: (transport: VirtualTransport) => void): this {
    return this.sendPacket("message", data, options, callback);
  }

  /** Sends a packet; others than messages are the daemon's affair and are passed over. */
  sendPacket(
    type: string,
    data?: PacketData,
    options: PacketOptions = {},
    callback?: (transport: VirtualTransport) => void,
  ): this {
    if (this.readyState !== "open" || type !== "message" || data === undefined) return this;
    options.compress = options.compress !== false;
    this.announce(type, data, options);
    if (this.#filter) this.#filter.write(data, options);
    else this.transmit(data, options);
    if (callback) setImmediate(callback, this.transport);
    if (this.listenerCount("drain") > 0 && this.isWritable) setImmediate(() => this.drain());
    return this;
  }

  /** Closes the connection: behind what was sent or, with `discard`, at once. */
  close(discard = false): void {
    if (this.readyState !== "open") return;
    this.readyState = "closing";
    this.#port.send("CLOSE_CONN", discard ? FLAG.DISCARD : 0, this.ref, {});
    // Within the call, as engine.io does when nothing waits: its reason goes before Socket.IO's `forced server close`.
    this.end("forced close");
  }

  /** @internal The events that applications count packets by. */
  announce(type: string, data: PacketData, options: PacketOptions): void {
    if (this.listenerCount("packetCreate") > 0) this.emit("packetCreate", { type, data, options });
  }

  /** @internal Sends past the filter. */
  transmit(data: PacketData, options: PacketOptions): void {
    if (this.readyState !== "open") return;
    let flags = (options.volatile === true ? FLAG.VOLATILE : 0) | (options.compress === false ? FLAG.NO_COMPRESS : 0);
    if (!this.#port.parsesText) {
      if (options === this.#options) flags |= FLAG.REST;
      this.#options = options;
    }
    if (typeof data === "string") {
      this.#answers.answered(data);
      if (this.#settling) this.#settleSoon();
      // As many bytes as characters: none is above 0x7f.
      if (Buffer.byteLength(data) === data.length) flags |= FLAG.ASCII;
      this.#port.send("SEND", flags, this.ref, { payload: data });
    } else {
      this.#port.send("SEND", flags | FLAG.BINARY, this.ref, { payload: bytesOf(data) });
    }
  }

  /** @internal A message came from the client. */
  receive(payload: Buffer | string): void {
    // Binary is copied: an application that keeps it must not keep the whole of what the socket gave.
    const data = typeof payload === "string" ? payload : Buffer.from(payload);
    if (this.#held) {
      this.#held.push({ data });
      this.#heldBytes += Buffer.byteLength(data);
    } else {
      this.#hear(data);
    }
  }

  #hear(data: string | Buffer): void {
    if (this.#behind?.length === 0 && isConnect(data) && this.#mayComeAgain(data)) this.deliver(data);
    else if (this.#behind) this.#behind.push(data);
    else if (isConnect(data)) this.#connect(data);
    else this.deliver(data);
  }

  /**
   * A client that asks for a namespace, turns away before it is in, and asks again has said CONNECT twice in one breath. To a socket of one's own they
   * come in one chunk, and both connect; of two that come apart Socket.IO takes the second one for a fault, and the link may have them apart. So one for
   * a further namespace waits a moment for another: its client has had no answer yet, so that none is taken for what it is not.
   */
  #connect(data: string | Buffer): void {
    if (!this.#hasAsked || !this.#isWebSocket) return this.#connectNow(data);
    this.#behind = [data];
    setTimeout(() => {
      const [first, ...rest] = this.#behind ?? [];
      this.#behind = undefined;
      if (first !== undefined) this.#connectNow(first);
      for (const next of rest) this.#hear(next);
    }, AGAIN_MS);
  }

  // Not the getter, which makes an object for each connection.
  get #isWebSocket(): boolean {
    return (typeof this.#transport === "string" ? this.#transport : this.#transport.name) === "websocket";
  }

  /**
   * Whether a CONNECT right behind another one may be of the same breath. Two for the main namespace that come by polling are a client's that says it in
   * two requests: no client of Socket.IO asks for that namespace twice before it is in.
   */
  #mayComeAgain(data: string | Buffer): boolean {
    return this.#isWebSocket || (typeof data === "string" && data.startsWith(FURTHER));
  }

  /**
   * Gives a CONNECT to Socket.IO, which connects a tick later. Clients that send the next packet in another request would find it connected on a socket of
   * one's own; on the link both may come at once. So what is no CONNECT waits for that tick.
   */
  #connectNow(data: string | Buffer): void {
    this.deliver(data);
    if (this.readyState !== "open") return;
    this.#behind = [];
    setImmediate(() => {
      const behind = this.#behind ?? [];
      this.#behind = undefined;
      // Another CONNECT among them keeps back the rest.
      for (const next of behind) this.#hear(next);
      this.#tellSoon();
    });
  }

  /** @internal Gives a message to Socket.IO. */
  deliver(message: string | Buffer): void {
    if (this.readyState !== "open") return;
    // engine.io gives no data for a message without any, which is an error to Socket.IO where an empty text would be a CONNECT.
    const data = message === "" ? undefined : message;
    if (data !== undefined && typeof data === "string") this.#answers.asked(data);
    if (isConnect(message)) this.#hasAsked = true;
    if (this.listenerCount("packet") > 0) this.emit("packet", { type: "message", data });
    this.emit("data", data);
    this.emit("message", data);
  }

  /** @internal Keeps what the client says until {@link release}, and shows what Socket.IO says to `filter`. */
  hold(filter?: OutgoingFilter): void {
    this.#held ??= [];
    this.#filter = filter;
  }

  /** @internal Bytes that are held. */
  get heldBytes(): number {
    return this.#heldBytes;
  }

  /** @internal Ends {@link hold}. */
  release(): void {
    const held = this.#held ?? [];
    this.#held = undefined;
    this.#filter = undefined;
    this.#heldBytes = 0;
    // As they come: a CONNECT among them keeps back what was said behind it.
    for (const { data } of held) this.#hear(data);
    this.#tellSoon();
  }

  /** @internal It was taken over, and is back: the daemon has kept what it said meanwhile. */
  back(): void {
    if (this.#port.canHold && !this.#isPaused) this.#sendHold(false);
  }

  /** @internal Whether the client said what no handler could hear yet, though it counts as dealt with. */
  get holds(): boolean {
    return this.#held !== undefined || this.#behind !== undefined;
  }

  /** @internal Calls back when nothing is held any more: it reached its handlers, or the connection ended. One at a time. */
  whenHeard(done: () => void): void {
    this.#awaited = done;
    this.#tellSoon();
  }

  /** Socket.IO hands a packet on within the turn of the event loop. */
  #tellSoon(): void {
    if (this.#settling) this.#settleSoon();
    if (this.#awaited) setImmediate(() => { if (!this.holds) this.#tellHeard(); });
  }

  #tellHeard(): void {
    const awaited = this.#awaited;
    this.#awaited = undefined;
    awaited?.();
  }

  /** @internal Handlers of the client's that run. */
  get running(): number {
    return this.#running;
  }

  /** @internal A handler of the client's runs, until {@link finish}. */
  begin(): void {
    this.#running += 1;
    if (this.#running >= this.#port.handlers_max) this.#pause(true, this.#waits);
    this.#port.busy.begin(this);
  }

  /** @internal */
  finish(): void {
    this.#running -= 1;
    // Not at once: a client at its bound would go to and fro.
    if (this.#isFull && this.#running <= this.#port.handlers_max / 2) this.#pause(false, this.#waits);
    this.#port.busy.finish(this);
    if (this.#settling) this.#settleSoon();
  }

  /** @internal All clients together have as many handlers running as may, and this one began another; or it is over. */
  wait(on: boolean): void {
    if (this.#port.canHold) this.#pause(this.#isFull, on);
  }

  /** Whether the daemon was told to receive no more from the client. */
  get #isPaused(): boolean {
    return this.#isFull || this.#waits;
  }

  #pause(isFull: boolean, waits: boolean): void {
    if (this.readyState !== "open") return;
    const wasPaused = this.#isPaused;
    this.#isFull = isFull;
    this.#waits = waits;
    if (this.#isPaused !== wasPaused) this.#sendHold(this.#isPaused);
  }

  #sendHold(on: boolean): void {
    if (this.readyState === "open") this.#port.send("HOLD", 0, this.ref, { on: on ? 1 : 0 });
  }

  /**
   * @internal Calls back when nothing that the client said is under way, or after so long; not when the connection ends before. What is held has had no
   * handler, and is waited for longer: nobody else would hear it.
   */
  settle(within_ms: number, held_ms: number, done: () => void): void {
    if (this.#isSettled) return done();
    const late = (): void => {
      if (!this.holds || !this.#settling) return this.#settle();
      this.#settling.timer = setTimeout(() => this.#settle(), held_ms - within_ms);
    };
    this.#settling = { done, timer: setTimeout(late, within_ms) };
  }

  get #isSettled(): boolean {
    return this.#answers.size === 0 && this.#running === 0 && !this.holds;
  }

  /** Not within a packet: its attachments come behind it, and what was held has handlers to reach. */
  #settleSoon(): void {
    setImmediate(() => { if (this.#isSettled) this.#settle(); });
  }

  #settle(): void {
    const settling = this.#settling;
    this.#settling = undefined;
    clearTimeout(settling?.timer);
    if (this.readyState === "open") settling?.done();
  }

  /** @internal The daemon says how the client keeps up. */
  press(on: boolean): void {
    this.#isPressed = on;
    if (!on) this.drain();
  }

  /** @internal Tells who waits that more may be sent, if it may. */
  drain(): void {
    if (this.isWritable) this.emit("drain");
  }

  /** @internal The client changes its transport. */
  change(phase: number, name: string): void {
    const transport = new VirtualTransport(this, name);
    // The probe may have been done before there was anybody to tell.
    if (phase === 0 || !this.upgrading) {
      this.upgrading = true;
      this.emit("upgrading", transport);
    }
    if (phase === 1) {
      this.upgrading = false;
      this.upgraded = true;
      this.#transport = transport;
      this.emit("upgrade", transport);
    }
  }

  /** @internal The connection ended. */
  end(reason: CloseReason, description?: Error): void {
    if (this.readyState === "closed") return;
    this.readyState = "closed";
    if (this.#settling) this.#settle();
    this.#held = this.#filter = this.#behind = this.#options = undefined;
    this.#tellHeard();
    this.#port.forget(this);
    this.emit("close", reason, description);
  }
}

/** Whether a message asks for a namespace. */
function isConnect(data: string | Buffer): boolean {
  return typeof data === "string" && data.startsWith(CONNECT);
}

/** The bytes of what parsers take for binary, whatever its elements are. */
export function bytesOf(data: ArrayBuffer | ArrayBufferView): Uint8Array {
  return ArrayBuffer.isView(data) ? new Uint8Array(data.buffer, data.byteOffset, data.byteLength) : new Uint8Array(data);
}
