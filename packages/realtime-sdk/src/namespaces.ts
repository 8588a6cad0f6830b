// The namespaces of this worker by their numbers on the link, and the answers that they wait for.

import type { VirtualConnection } from "./connection.js";
import { LinkError } from "./link/errors.js";
import { FLAG, FRAME_BODY_BYTES_MAX, MOVED_UNKNOWN, type Frame, type Part } from "./link/frames.js";
import type { Link } from "./link/link.js";
import type { Move } from "./moves.js";
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

/** Sockets that were moved in a namespace that is not there yet: how many are remembered, and for how long (resume.ts). */
const EARLY_MAX = 4_096;
const EARLY_MS_MAX = 30_000;

interface EarlyMove {
  readonly frame: Frame<"MOVED">;
  readonly at_ms: number;
}

/** What an adapter is to the link. */
export interface NamespaceAdapter {
  /** The other workers that have this namespace. */
  setPeers(instances: readonly string[]): void;
  takeBus(from: string, opaque: Buffer): void;
  /** What others said meanwhile may not have come. */
  lose(): void;
  /** The daemon has moved a socket. */
  takeMoved(frame: Frame<"MOVED">): void;
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
  readonly #warned = new Set<string>();
  readonly #numbers = new Map<string, number>();
  readonly #adapters = new Map<string, NamespaceAdapter>();
  readonly #free: number[] = [];
  #numbersGiven = 0;
  readonly #requests = new Map<number, { request: Request; timer: NodeJS.Timeout }>();
  #lastRequest = 0;
  #early: EarlyMove[] = [];
  readonly #pieces: Pieces;

  constructor(instance: string, link: Pick<Link, "can" | "hasSession" | "send" | "sendMoves" | "isNative">) {
    this.#instance = instance;
    this.#link = link;
    this.#pieces = new Pieces((nsp, to, opaque) => this.#sendBus(nsp, to, opaque), (why) => warnOfAnswer(`an answer to another worker is lost: ${why}`));
  }

  /** The number of a namespace; an adapter that replaces another one takes its over. */
  add(name: string, adapter: NamespaceAdapter): number {
    this.#adapters.set(name, adapter);
    const early = this.#early.filter(({ frame }) => frame.nsp === name);
    if (early.length > 0) this.#early = this.#early.filter(({ frame }) => frame.nsp !== name);
    for (const { frame } of early) adapter.takeMoved(frame);
    const known = this.#numbers.get(name);
    if (known !== undefined) return known;
    const number = this.#numberOf(name);
    this.#numbers.set(name, number);
    this.#say(name, number);
    return number;
  }

  /** Clients make dynamic namespaces, of what names and as many as they like: what is too much for the link must not be an exception in the middle of that. */
  #numberOf(name: string): number {
    if (Buffer.byteLength(name) > NAME_BYTES_MAX) return NUMBER_NONE;
    return this.#free.pop() ?? (this.#numbersGiven < NUMBER_NONE ? this.#numbersGiven++ : NUMBER_NONE);
  }

  /** Frames are in order, so that the number may serve another namespace behind this. */
  remove(name: string, adapter: NamespaceAdapter): void {
    const number = this.#numbers.get(name);
    if (number === undefined || this.#adapters.get(name) !== adapter) return;
    this.#numbers.delete(name);
    this.#adapters.delete(name);
    if (number === NUMBER_NONE) return;
    this.#free.push(number);
    this.#link.send("NSP", FLAG.REMOVED, number, { namespace: name });
  }

  /** A daemon that knows nothing of this worker is told all of them. */
  announce(): void {
    for (const [name, number] of this.#numbers) this.#say(name, number);
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
    for (const adapter of this.#adapters.values()) adapter.lose();
  }

  saveData(connection: VirtualConnection): void {
    for (const adapter of this.#adapters.values()) adapter.saveData(connection);
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
    if (this.#numbers.get(nsp) === NUMBER_NONE) return;
    this.#link.sendMoves(moves, () => ({ nsp, to: "", from: this.#instance, opaque: opaque() }));
  }

  /** Answers one of them. */
  answer(nsp: string, to: string, opaque: Buffer): void {
    if (opaque.length <= ANSWER_BYTES_MAX) this.#sendBus(nsp, to, opaque);
    else this.#pieces.send(nsp, to, opaque);
  }

  #sendBus(nsp: string, to: string, opaque: Buffer, flags = 0): void {
    // Nobody else has it.
    if (this.#numbers.get(nsp) === NUMBER_NONE) return;
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
        this.#adapters.get(frame.nsp)?.setPeers(others);
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
    const adapter = this.#adapters.get(frame.nsp);
    if (adapter) return adapter.takeMoved(frame);
    if (frame.known !== MOVED_UNKNOWN) return;
    const now_ms = performance.now();
    const isOver = ({ at_ms }: EarlyMove): boolean => now_ms >= at_ms + EARLY_MS_MAX;
    while (this.#early[0] && (isOver(this.#early[0]) || this.#early.length >= EARLY_MAX)) this.#early.shift();
    this.#early.push({ frame, at_ms: now_ms });
  }

  #takeBus(frame: Frame<"BUS">): void {
    if (frame.to !== "" && frame.to !== this.#instance) {
      throw new LinkError("bad-value", `a message for ${frame.to} came to ${this.#instance}`);
    }
    const { nsp, from } = frame;
    const adapter = this.#adapters.get(nsp);
    const opaque = Pieces.is(frame.opaque) ? adapter && this.#pieces.take(nsp, from, frame.opaque) : frame.opaque;
    if (opaque) adapter?.takeBus(from, opaque);
  }
}

/** Warns of an answer that another worker waits for and does not get: whoever has asked there hears of a timeout. */
export function warnOfAnswer(message: string): void {
  // The same of another size is the same.
  warnOnce("RINGWAY_ANSWER", message.replaceAll(/\d+/g, "0"), message);
}
