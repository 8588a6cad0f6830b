// Sockets and broadcasts of one namespace that wait here for clients that come back: the daemon keeps those whose packets it can read, and a parser of
// one's own makes others. As socket.io's in-memory adapter keeps them, with bounds.
//
// Deliberately absent: other workers. Each keeps what its own clients may have missed, and a client that comes to another one starts anew.

import { randomBytes } from "node:crypto";

/** The bounds of the daemon's own log (ARCHITECTURE.md). */
const PACKETS_MAX = 131_072;
const BYTES_MAX = 32 << 20;
const SESSIONS_MAX = 131_072;

/** What socket.io says of a socket when its client goes. */
export interface KeptSession {
  sid: string;
  pid: string;
  rooms: string[];
  data: unknown;
}

/** Who was to hear a broadcast. */
export interface Audience {
  readonly rooms: ReadonlySet<string>;
  readonly except?: ReadonlySet<string>;
}

interface KeptPacket {
  readonly offset: string;
  readonly data: unknown[];
  readonly audience: Audience;
  readonly bytes: number;
  readonly at_ms: number;
}

/** A client that is coming back. */
export interface Returning {
  readonly session: KeptSession;
  /** The number of the last packet that it has heard. */
  readonly from: number;
}

/** What waits for the clients of a namespace. */
export class Kept {
  readonly #life = randomBytes(6).toString("base64url");
  readonly #ttl_ms: number;
  readonly #now: () => number;
  readonly #sessions = new Map<string, { session: KeptSession; at_ms: number }>();
  #packets: KeptPacket[] = [];
  /** The number of the first one in the list; those before `#gone` in it are let go already. */
  #first = 0;
  #gone = 0;
  #bytes = 0;
  readonly #numbers = new Map<string, number>();
  #offsets = 0;

  constructor(ttl_ms: number, now: () => number = () => performance.now()) {
    this.#ttl_ms = ttl_ms;
    this.#now = now;
  }

  /** An offset that no other worker gives out. */
  offset(): string {
    this.#offsets += 1;
    return `${this.#life}${this.#offsets.toString(36)}`;
  }

  /** A broadcast; `data` has its offset at the end. */
  add(offset: string, data: unknown[], audience: Audience, bytes: number): void {
    const at_ms = this.#now();
    this.#numbers.set(offset, this.#first + this.#packets.length);
    this.#packets.push({ offset, data, audience, bytes, at_ms });
    this.#bytes += bytes;
    this.#letGo(at_ms);
  }

  #letGo(now_ms: number): void {
    for (;;) {
      const oldest = this.#packets[this.#gone];
      const count = this.#packets.length - this.#gone;
      if (oldest === undefined || (now_ms < oldest.at_ms + this.#ttl_ms && count <= PACKETS_MAX && this.#bytes <= BYTES_MAX)) break;
      this.#gone += 1;
      this.#bytes -= oldest.bytes;
      this.#numbers.delete(oldest.offset);
    }
    // Not for each: the whole list is moved.
    if (this.#gone < 1_024 && this.#gone < this.#packets.length) return;
    this.#packets.splice(0, this.#gone);
    this.#first += this.#gone;
    this.#gone = 0;
  }

  /** A client went. */
  save(session: KeptSession): void {
    const at_ms = this.#now();
    for (const [pid, oldest] of this.#sessions) {
      if (at_ms < oldest.at_ms + this.#ttl_ms && this.#sessions.size < SESSIONS_MAX) break;
      this.#sessions.delete(pid);
    }
    this.#sessions.delete(session.pid);
    this.#sessions.set(session.pid, { session, at_ms });
  }

  /** The socket of a client that has heard all up to `offset`; nothing if it is too late. It waits until it is given back. */
  find(pid: string, offset: string): Returning | undefined {
    const saved = this.#sessions.get(pid);
    this.#letGo(this.#now());
    const from = this.#numbers.get(offset);
    if (saved === undefined || from === undefined || this.#now() >= saved.at_ms + this.#ttl_ms) return undefined;
    return { session: saved.session, from };
  }

  /** Gives it back: the packets that it has missed by now. Nothing if some of them are here no more. */
  giveBack({ session, from }: Returning): unknown[][] | undefined {
    this.#sessions.delete(session.pid);
    const at = from + 1 - this.#first;
    if (at < this.#gone) return undefined;
    return this.#packets.slice(at).filter(({ audience }) => isFor(session.rooms, audience)).map(({ data }) => data);
  }

  /** There were broadcasts that were not told here: nobody can be given what was missed. */
  forget(): void {
    this.#sessions.clear();
    this.#numbers.clear();
    this.#first += this.#packets.length;
    this.#packets = [];
    this.#gone = this.#bytes = 0;
  }
}

function isFor(rooms: readonly string[], { rooms: included, except }: Audience): boolean {
  const isIn = (names: ReadonlySet<string>): boolean => rooms.some((room) => names.has(String(room)));
  return (included.size === 0 || isIn(included)) && !(except && isIn(except));
}
