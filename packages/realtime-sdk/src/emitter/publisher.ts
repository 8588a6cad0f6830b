// An emitter's link: what it says goes to the clients of all workers, or to the workers, now or when the daemon is back.

import { randomUUID } from "node:crypto";

import { aside } from "../aside.js";
import { encodeBus } from "../bus.js";
import { bytesOf } from "../connection.js";
import { LinkError } from "../link/errors.js";
import { FLAG, MOVEMENT, type Fields, type Part } from "../link/frames.js";
import { Link } from "../link/link.js";
import { movesOf } from "../moves.js";
import { wireRoom } from "../rooms.js";
import { PlainEncoder, eventPacket, type EmitterEncoder } from "./packet.js";

/** A namespace's number is a u16, and the daemon takes so many of an emitter. */
const NAMESPACES_MAX = 1024;
/** And such names (docs/link.md). */
const NAME_BYTES_MAX = 1024;
/** How long an emitter that ends waits for what it said to be taken. */
const STOP_MS_MAX = 2_000;

/** Whom something concerns. */
export interface Target {
  readonly rooms: readonly string[];
  readonly except: readonly string[];
}

/** How an event goes. */
export interface EventFlags {
  readonly volatile?: boolean;
  readonly compress?: boolean;
}

/** What becomes of sockets, by the names of socket.io-adapter's messages. */
export type SocketsOrder =
  | { type: "SOCKETS_JOIN" | "SOCKETS_LEAVE"; data: { opts: Target; rooms: readonly string[] } }
  | { type: "DISCONNECT_SOCKETS"; data: { opts: Target; close: boolean } };

/** What is asked of the workers. */
export type Order = SocketsOrder | { type: "SERVER_SIDE_EMIT"; data: { packet: readonly unknown[] } };

/** What a publisher is made of. */
export interface PublisherOptions {
  readonly url: string;
  readonly secret?: Uint8Array;
  readonly app: string;
  readonly name?: string;
  readonly encoder?: EmitterEncoder;
  readonly backoff: { readonly min_ms: number; readonly max_ms: number };
  readonly ping_ms: number;
  readonly handshake_ms: number;
  readonly queue_bytes_max: number;
  readonly onError: (error: LinkError) => void;
}

/** The one link behind an emitter and its operators. */
export class Publisher {
  /** Resolved when the daemon is there for the first time. */
  readonly ready: Promise<void>;
  readonly #instance = randomUUID();
  readonly #encoder: EmitterEncoder;
  readonly #numbers = new Map<string, number>();
  readonly #link: Link;
  readonly #waiting: (() => void)[] = [];
  #isOpen = false;

  constructor(options: PublisherOptions) {
    this.#encoder = options.encoder ?? new PlainEncoder();
    this.ready = this.#opening();
    this.#link = new Link({ ...options, instance: this.#instance, role: "emitter" }, {
      opened: (resumed) => {
        if (!resumed) this.#announce();
        this.#isOpen = true;
        for (const open of this.#waiting.splice(0)) open();
      },
      down: () => { this.#isOpen = false; },
      retrying: () => {},
      lost: (cause) => {
        // Nothing that waits has these numbers any more, and one of them may be what was refused.
        if (cause instanceof LinkError && cause.code === "not-allowed") this.#numbers.clear();
      },
      // It is told nothing but credit.
      frame: () => {},
      writable: () => {},
      fault: (error) => aside(() => options.onError(error)),
    });
    this.#link.start();
  }

  /** An event for clients. */
  event(nsp: string, target: Target, flags: EventFlags, args: unknown[]): void {
    const encoded = this.#encoder.encode(eventPacket(nsp, args));
    const parts = encoded.map((part): Part => (typeof part === "string" ? { binary: false, bytes: part } : { binary: true, bytes: bytesOf(part) }));
    const isAscii = parts.every(({ bytes }) => typeof bytes !== "string" || Buffer.byteLength(bytes) === bytes.length);
    // Whether clients may come back is the application's to say, and the daemon knows it; what a parser of one's own has written nobody can put an offset into.
    const isKept = this.#encoder instanceof PlainEncoder && flags.volatile !== true;
    const bits =
      (flags.volatile === true ? FLAG.VOLATILE : 0) | (flags.compress === false ? FLAG.NO_COMPRESS : 0) |
      (isKept ? FLAG.RECOVER : 0) | (isAscii ? FLAG.ASCII : 0);
    this.#link.send("BCAST", bits, 0, { nsp: this.#number(nsp), rooms: target.rooms.map(wireRoom), except: target.except.map(wireRoom), parts });
  }

  /** Something that each worker does. */
  order(nsp: string, order: Order): void {
    this.#link.send("BUS", 0, 0, this.#bus(nsp, order));
  }

  /** What the daemon does, in the order in which it is said; each worker, where it cannot. */
  move(nsp: string, order: SocketsOrder): void {
    const [what, places] = movementOf(order);
    const { rooms, except } = order.data.opts;
    const names = [...new Set(places.map(wireRoom))];
    const moves = movesOf({ nsp: this.#number(nsp), what, rooms: rooms.map(wireRoom), except: except.map(wireRoom), places: names });
    this.#link.sendMoves(moves, () => this.#bus(nsp, order));
  }

  #bus(nsp: string, order: Order): Fields<"BUS"> {
    return { nsp, to: "", from: this.#instance, opaque: encodeBus(order) };
  }

  /** Waits for a link that is not there, as who says something and closes at once wants to be heard. */
  async close(): Promise<void> {
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<void>((resolve) => { timer = setTimeout(resolve, STOP_MS_MAX); });
    if (!this.#isOpen) await Promise.race([this.#opening(), late]);
    clearTimeout(timer);
    return this.#link.stop({ mode: "close", reason: "emitter closed", deadline_ms: STOP_MS_MAX });
  }

  #opening(): Promise<void> {
    return new Promise((resolve) => { this.#waiting.push(resolve); });
  }

  #number(nsp: string): number {
    const known = this.#numbers.get(nsp);
    if (known !== undefined) return known;
    if (this.#numbers.size >= NAMESPACES_MAX) throw new RangeError(`more than ${NAMESPACES_MAX} namespaces`);
    // Before it is kept: it is said again on the next link, where nobody would hear of the error.
    if (Buffer.byteLength(nsp) > NAME_BYTES_MAX) throw new RangeError(`a namespace's name of more than ${NAME_BYTES_MAX} bytes`);
    const number = this.#numbers.size;
    this.#numbers.set(nsp, number);
    this.#link.send("NSP", 0, number, { namespace: nsp });
    return number;
  }

  #announce(): void {
    for (const [name, number] of this.#numbers) this.#link.send("NSP", 0, number, { namespace: name });
  }
}

function movementOf(order: SocketsOrder): [what: number, places: readonly string[]] {
  switch (order.type) {
    case "SOCKETS_JOIN": return [MOVEMENT.JOIN, order.data.rooms];
    case "SOCKETS_LEAVE": return [MOVEMENT.LEAVE, order.data.rooms];
    case "DISCONNECT_SOCKETS": return [order.data.close ? MOVEMENT.CLOSE : MOVEMENT.DISCONNECT, []];
  }
}
