// The namespaces of this worker by their numbers on the link, and the answers that they wait for.

import type { VirtualConnection } from "./connection.js";
import { LinkError } from "./link/errors.js";
import { FLAG, FRAME_BODY_BYTES_MAX, MOVED_UNKNOWN, type Conn, type Frame, type Part } from "./link/frames.js";
import type { Link } from "./link/link.js";
import { costOf, type Move } from "./moves.js";
import { PIECE_BYTES_MAX, Pieces } from "./pieces.js";
import { warnOnce } from "./warned.js";

/** A namespace's number is a u16, and the last one is for all that have none of their own. */
const NUMBER_NONE = 0xffff;
/** What the daemon takes for a namespace's name (docs/link.md). */
const NAME_BYTES_MAX = 1_024;
/** One that is longer: the daemon closes whoever is said to be in it. */
const NAME_NONE = `/${"-".repeat(NAME_BYTES_MAX)}`;

/** Of one frame, with room for names: what is longer goes in pieces. */
const ANSWER_BYTES_MAX = FRAME_BODY_BYTES_MAX - PIECE_BYTES_MAX;

/** Sockets that were moved in a namespace that is not there yet: how many of them and of the rooms' names are remembered, and for how long (resume.ts). */
const EARLY_MAX = 16_384;
const EARLY_MS_MAX = 30_000;

interface EarlyMove {
  readonly frame: Frame<"MOVED">;
  /** What the frame's number stands for: it may be another stay of the same client later. */
  readonly connection: VirtualConnection;
  readonly at_ms: number;
}

/** A namespace of this worker. */
interface Served {
  readonly number: number;
  /**
   * The last one is the application's by that name. Others are of namespaces that socket.io has cleaned up while somebody was about to connect, who is in
   * them all the same.
   */
  readonly adapters: NamespaceAdapter[];
}

/** What an adapter is to the link. */
export interface NamespaceAdapter {
  /** The namespace, an object of socket.io's: a later one of the same name is another. */
  readonly nsp: object;
  /** The other workers that have this namespace. */
  setPeers(instances: readonly string[]): void;
  takeBus(from: string, opaque: Buffer): void;
  /** What others said meanwhile may not have come. */
  lose(): void;
  /** The daemon has moved a socket. */
  takeMoved(frame: Frame<"MOVED">): void;
  /** Whether a socket of that id is in it. */
  hasMember(sid: string): boolean;
  /** Says the data of a connection's socket. */
  saveData(connection: VirtualConnection): void;
}

/** Who waits for an answer of the daemon's. */
export interface Request {
  count?(clients: number): void;
  reply?(parts: readonly Part[]): void;
  session?(frame: Frame<"SESSION_RES">): void;
  /** No answer will come. */
  fail(): void;
}

/** The frames that concern namespaces. */
export type NamespaceFrame = Extract<Frame, { name: "PEERS" | "BUS" | "MOVED" | "BCAST_COUNT" | "BCAST_REPLY" | "SESSION_RES" }>;

/** Namespaces that are served here, and requests that are open. */
export class Namespaces {
  readonly #instance: string;
  readonly #link: Pick<Link, "can" | "hasSession" | "send" | "sendMoves" | "isNative">;
  readonly #connectionOf: (conn: Conn) => VirtualConnection | undefined;
  readonly #warned = new Set<string>();
  readonly #served = new Map<string, Served>();
  readonly #free: number[] = [];
  #numbersGiven = 0;
  readonly #requests = new Map<number, { request: Request; timer: NodeJS.Timeout }>();
  #lastRequest = 0;
  #early: EarlyMove[] = [];
  #earlyCount = 0;
  readonly #pieces: Pieces;

  constructor(
    instance: string,
    link: Pick<Link, "can" | "hasSession" | "send" | "sendMoves" | "isNative">,
    connectionOf: (conn: Conn) => VirtualConnection | undefined,
  ) {
    this.#instance = instance;
    this.#link = link;
    this.#connectionOf = connectionOf;
    this.#pieces = new Pieces((nsp, to, opaque) => this.#sendBus(nsp, to, opaque), (why) => warnOfAnswer(`an answer to another worker is lost: ${why}`));
  }

  /** The number of a namespace that is the application's from now on. */
  add(name: string, adapter: NamespaceAdapter): number {
    const { number, adapters } = this.#serve(name);
    // One that replaces another one of the same namespace speaks for it.
    const replaced = adapters.findIndex(({ nsp }) => nsp === adapter.nsp);
    if (replaced >= 0) adapters.splice(replaced, 1);
    adapters.push(adapter);
    this.#moveEarly(name, adapter);
    return number;
  }

  /** The number by which an adapter that was closed speaks, as somebody is in its namespace after all. One that the application has made since is before it. */
  reopen(name: string, adapter: NamespaceAdapter): number {
    const { number, adapters } = this.#serve(name);
    adapters.unshift(adapter);
    return number;
  }

  #serve(name: string): Served {
    const known = this.#served.get(name);
    if (known) return known;
    const served = { number: this.#numberOf(name), adapters: [] };
    this.#served.set(name, served);
    this.#say(name, served.number);
    return served;
  }

  #moveEarly(name: string, adapter: NamespaceAdapter): void {
    if (this.#early.length === 0) return;
    const early = this.#early.filter(({ frame }) => frame.nsp === name);
    this.#early = this.#early.filter(({ frame }) => frame.nsp !== name);
    for (const { frame, connection, at_ms } of early) {
      this.#earlyCount -= costOf(frame);
      const isNow = this.#connectionOf(frame.conn) === connection && performance.now() < at_ms + EARLY_MS_MAX;
      if (isNow) adapter.takeMoved(frame);
    }
  }

  /** Clients make dynamic namespaces, of what names and as many as they like: what is too much for the link must not be an exception in the middle of that. */
  #numberOf(name: string): number {
    if (Buffer.byteLength(name) > NAME_BYTES_MAX) return NUMBER_NONE;
    return this.#free.pop() ?? (this.#numbersGiven < NUMBER_NONE ? this.#numbersGiven++ : NUMBER_NONE);
  }

  /** An adapter speaks no more. Frames are in order, so that the number may serve another namespace behind this. */
  remove(name: string, adapter: NamespaceAdapter): void {
    const served = this.#served.get(name);
    const at = served?.adapters.indexOf(adapter) ?? -1;
    if (served === undefined || at < 0) return;
    served.adapters.splice(at, 1);
    if (served.adapters.length > 0) return;
    this.#served.delete(name);
    if (served.number === NUMBER_NONE) return;
    this.#free.push(served.number);
    this.#link.send("NSP", FLAG.REMOVED, served.number, { namespace: name });
  }

  #isUnsaid(name: string): boolean {
    return this.#served.get(name)?.number === NUMBER_NONE;
  }

  /** The adapter of the application's namespace of that name. */
  #adapterOf(name: string): NamespaceAdapter | undefined {
    return this.#served.get(name)?.adapters.at(-1);
  }

  #adaptersOf(name: string): readonly NamespaceAdapter[] {
    return this.#served.get(name)?.adapters ?? [];
  }

  #everyAdapter(): NamespaceAdapter[] {
    return [...this.#served.values()].flatMap(({ adapters }) => adapters);
  }

  /** A daemon that knows nothing of this worker is told all of them. */
  announce(): void {
    for (const [name, { number }] of this.#served) this.#say(name, number);
  }

  /** Whose namespace the daemon serves itself would wait for clients that never come. Names are said once: the operator has listed so many. */
  #say(name: string, number: number): void {
    this.#link.send("NSP", 0, number, { namespace: number === NUMBER_NONE ? NAME_NONE : name });
    if (!this.#link.isNative(name) || this.#warned.has(name)) return;
    this.#warned.add(name);
    const message = `the namespace ${name} is the daemon's own (namespaces.native of its configuration): no client comes to it here`;
    process.emitWarning(message, { type: "RingwayWarning", code: "RINGWAY_NATIVE" });
  }

  /** The session is gone: no answer comes, and who else is there will be said anew. */
  lose(): void {
    for (const [number, { request }] of [...this.#requests]) {
      this.close(number);
      request.fail();
    }
    this.#pieces.lose();
    this.#early = [];
    this.#earlyCount = 0;
    for (const adapter of this.#everyAdapter()) adapter.lose();
  }

  saveData(connection: VirtualConnection): void {
    for (const adapter of this.#everyAdapter()) adapter.saveData(connection);
  }

  /** How many requests wait for an answer. */
  get openRequests(): number {
    return this.#requests.size;
  }

  /** The number of a request that is open for at most so long. */
  open(timeout_ms: number, request: Request): number {
    do this.#lastRequest = (this.#lastRequest + 1) >>> 0;
    while (this.#requests.has(this.#lastRequest));
    const number = this.#lastRequest;
    const timer = setTimeout(() => {
      this.close(number);
      request.fail();
    }, timeout_ms);
    // Who asked has a timer of its own when it must not wait longer.
    timer.unref();
    this.#requests.set(number, { request, timer });
    return number;
  }

  /** Says something to all other workers that have a namespace. Throws a `RangeError` when it is more than a frame can say. */
  publish(nsp: string, opaque: Buffer): void {
    this.#sendBus(nsp, "", opaque);
  }

  /** Tells the other workers what they have to know before sockets are moved: behind what is moved already it need not stand. */
  forewarn(nsp: string, opaque: Buffer): void {
    const flags = this.#link.hasSession && this.#link.can("move") ? FLAG.VOLATILE : 0;
    this.#sendBus(nsp, "", opaque, flags);
  }

  /** Moves sockets of all workers; `opaque` is what other workers are told where the daemon does not do it. */
  move(nsp: string, moves: readonly Move[], opaque: () => Buffer): void {
    if (this.#isUnsaid(nsp)) return;
    this.#link.sendMoves(moves, () => ({ nsp, to: "", from: this.#instance, opaque: opaque() }));
  }

  /** Answers one of them. */
  answer(nsp: string, to: string, opaque: Buffer): void {
    if (opaque.length <= ANSWER_BYTES_MAX) this.#sendBus(nsp, to, opaque);
    else this.#pieces.send(nsp, to, opaque);
  }

  #sendBus(nsp: string, to: string, opaque: Buffer, flags = 0): void {
    // Nobody else has it.
    if (this.#isUnsaid(nsp)) return;
    this.#link.send("BUS", flags, 0, { nsp, to, from: this.#instance, opaque });
  }

  close(number: number): void {
    clearTimeout(this.#requests.get(number)?.timer);
    this.#requests.delete(number);
  }

  receive(frame: NamespaceFrame): void {
    switch (frame.name) {
      case "PEERS": {
        const others = frame.instances.filter((instance) => instance !== this.#instance);
        this.#pieces.setPeers(frame.nsp, others);
        for (const adapter of this.#adaptersOf(frame.nsp)) adapter.setPeers(others);
        return;
      }
      case "BUS": return this.#takeBus(frame);
      case "MOVED": return this.#takeMoved(frame);
      // Answers that come too late are no fault.
      case "BCAST_COUNT": return this.#requests.get(frame.request)?.request.count?.(frame.clients);
      case "BCAST_REPLY": return this.#requests.get(frame.request)?.request.reply?.(frame.parts);
      case "SESSION_RES": return this.#requests.get(frame.request)?.request.session?.(frame);
    }
  }

  /** A socket that comes back may be moved before its namespace is made again, which may take a while. */
  #takeMoved(frame: Frame<"MOVED">): void {
    const adapters = this.#adaptersOf(frame.nsp);
    const adapter = adapters.find((one) => one.hasMember(frame.sid)) ?? adapters.at(-1);
    if (adapter) return adapter.takeMoved(frame);
    const connection = this.#connectionOf(frame.conn);
    if (frame.known !== MOVED_UNKNOWN || connection === undefined) return;
    const now_ms = performance.now();
    this.#early.push({ frame, connection, at_ms: now_ms });
    this.#earlyCount += costOf(frame);
    for (let oldest = this.#early[0]; oldest; oldest = this.#early[0]) {
      if (now_ms < oldest.at_ms + EARLY_MS_MAX && this.#earlyCount <= EARLY_MAX) break;
      this.#early.shift();
      this.#earlyCount -= costOf(oldest.frame);
    }
  }

  #takeBus(frame: Frame<"BUS">): void {
    if (frame.to !== "" && frame.to !== this.#instance) {
      throw new LinkError("bad-value", `a message for ${frame.to} came to ${this.#instance}`);
    }
    const { nsp, from } = frame;
    const adapter = this.#adapterOf(nsp);
    const opaque = Pieces.is(frame.opaque) ? adapter && this.#pieces.take(nsp, from, frame.opaque) : frame.opaque;
    if (opaque) adapter?.takeBus(from, opaque);
  }
}

/** Warns of an answer that another worker waits for and does not get: whoever has asked there hears of a timeout. */
export function warnOfAnswer(message: string): void {
  // The same of another size is the same.
  warnOnce("RINGWAY_ANSWER", message.replaceAll(/\d+/g, "0"), message);
}
