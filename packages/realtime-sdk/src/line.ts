// What a worker says to the clients and servers of others stands in one line, in the order in which it was said. A broadcast that depends on what other
// workers were asked to do (fence.ts) waits in it until they have done it, and what is said behind it waits, too.
//
// A broadcast is two: the sockets that this worker has are told at once, by their ids, so that what it says to one of them, or does to it, keeps its place
// and nobody waits for an answer; and all others later, but for these ids. So each client is told once, wherever it goes meanwhile and whoever dies: who
// was this worker's at that moment is in the first, whoever has it now, and everybody else in the second; whoever comes to this worker in between is told
// when it comes. It is so with what is kept for clients that come back, too, each of which finds one of these. (An id is a room, as it is where Socket.IO
// itself says a socket's own packets that way for recovery: who has joined a room of another socket's id hears them, too.) What else there is was thought of:
// - Each worker tells its own clients (as it was): what a worker is given that dies, or has said `hold`, is lost, while its clients go on with others; and
//   whoever goes to another worker in between hears it twice or never.
// - LOCAL now and all but the own clients later: the same, as the daemon knows whose a client is, and not whose it was.
// - All that this worker says waits: its clients would wait for their acknowledgements as long as the slowest worker takes, and two that wait for each other
//   would for ever.
//
// So that two things that are asked need not wait for each other, sockets that are to join a room may join it ahead of broadcasts that wait: they may hear
// what was said a moment before. What takes somebody out of reach does not overtake.
//
// Deliberately absent: what is said, and how (adapter.ts). The line is short: it ends when everybody has answered, after two seconds, or at its bound.

import { STANDS_MS_MAX, type Asked, type Fence } from "./fence.js";

/** What may wait. At the bound it is not waited any longer: the link's own bound says what becomes of what the daemon does not take. */
const BYTES_MAX = 8 << 20;
/** Names in one list of a frame. */
const NAMES_MAX = 0xffff;

/** Rooms by their names on the link. */
export interface Audience {
  readonly rooms: readonly string[];
  readonly except: readonly string[];
}

/** A broadcast to clients of others. */
export interface Broadcast extends Audience {
  /** This worker's sockets that are in it. */
  readonly own: readonly string[];
  readonly bytes: number;
  say(audience: Audience): void;
}

/** A message to other workers. */
export interface Message {
  /** By it sockets join these rooms, or leave them, and nothing else. */
  readonly joins?: readonly string[];
  readonly leaves?: readonly string[];
  readonly bytes: number;
  say(): void;
}

interface Entry {
  /** What must be done before. */
  readonly behind?: Asked | undefined;
  readonly broadcast?: Broadcast;
  /** Sockets that have heard a broadcast, or are not to hear it. */
  readonly spared: Set<string>;
  readonly bytes: number;
  say(): void;
}

/** What waits. */
export class Line {
  readonly #fence: Fence;
  readonly #now: () => number;
  #entries: Entry[] = [];
  #bytes = 0;
  #messages = 0;
  #timer: NodeJS.Timeout | undefined;

  constructor(fence: Fence, now: () => number = () => performance.now()) {
    this.#fence = fence;
    this.#now = now;
  }

  get isEmpty(): boolean {
    return this.#entries.length === 0;
  }

  /** Whether a broadcast may not be said now. */
  holds({ rooms, except }: Audience): boolean {
    return !this.isEmpty || this.#fence.before(rooms.concat(except)) !== undefined;
  }

  /** A broadcast that waits, but for this worker's own. `false`: there is no room, nothing waits any more, and it is to be said now, to all. */
  broadcast(broadcast: Broadcast): boolean {
    const { rooms, except, own, bytes } = broadcast;
    const names = Math.max(rooms.length, except.length + own.length);
    if (!this.#hasRoom(names > NAMES_MAX ? Infinity : bytes)) return false;
    const behind = this.#fence.before(rooms.concat(except));
    const spared = new Set(own);
    const say = (): void => broadcast.say({ rooms, except: [...except, ...spared].slice(0, NAMES_MAX) });
    this.#push({ behind, broadcast, spared, bytes, say });
    if (own.length > 0) broadcast.say({ rooms: own, except: [] });
    return true;
  }

  /** Says a message, now or when it is its turn. */
  message({ joins, leaves, bytes, say }: Message): void {
    const overtakes = this.isEmpty || (this.#messages === 0 && (joins !== undefined || (leaves !== undefined && !this.#names(leaves))));
    if (overtakes || !this.#hasRoom(bytes)) return say();
    this.#messages += 1;
    this.#push({ spared: new Set(), bytes, say });
  }

  /** Whether a broadcast that waits is about one of these rooms. */
  #names(rooms: readonly string[]): boolean {
    const isNamed = (room: string): boolean =>
      this.#entries.some(({ broadcast }) => broadcast !== undefined && (broadcast.rooms.includes(room) || broadcast.except.includes(room)));
    return rooms.some(isNamed);
  }

  /** A socket of this worker's is about to be in other rooms, or is new (it is in none then): what was said before, and not to it, it is not to hear. */
  spare(id: string, rooms?: ReadonlySet<string>): void {
    for (const { broadcast, spared } of this.#entries) if (broadcast && !(rooms && isFor(rooms, broadcast))) spared.add(id);
  }

  /** A socket came from another worker, or came back: it is told now what waits, so that what it is told from now on is behind that. */
  catchUp(id: string, rooms: ReadonlySet<string>): void {
    for (const { broadcast, spared } of this.#entries) {
      if (!broadcast || spared.has(id)) continue;
      spared.add(id);
      if (isFor(rooms, broadcast)) broadcast.say({ rooms: [id], except: [] });
    }
  }

  /** Somebody has done what was asked, or is gone. */
  advance(): void {
    for (let first = this.#entries[0]; first && !(first.behind && !this.#fence.isDone(first.behind)); first = this.#entries[0]) this.#say(first);
    this.#wake();
  }

  /** When all that waits now has been said; nothing if nothing does. */
  said(): Promise<void> | undefined {
    if (this.isEmpty) return undefined;
    return new Promise((say) => this.message({ bytes: 0, say }));
  }

  /** Nothing waits any more. */
  flush(): void {
    for (let first = this.#entries[0]; first; first = this.#entries[0]) this.#say(first);
    this.#wake();
  }

  #say(first: Entry): void {
    // Said last: by it the session may be given up, and all that waits said.
    this.#entries.shift();
    this.#bytes -= first.bytes;
    if (first.broadcast === undefined) this.#messages -= 1;
    first.say();
  }

  #hasRoom(bytes: number): boolean {
    if (this.#bytes + bytes <= BYTES_MAX) return true;
    for (const { behind } of this.#entries) if (behind) this.#fence.giveUp(behind);
    this.flush();
    return false;
  }

  #push(entry: Entry): void {
    this.#entries.push(entry);
    this.#bytes += entry.bytes;
    if (this.#entries.length === 1) this.#wake();
  }

  #wake(): void {
    const behind = this.#entries[0]?.behind;
    clearTimeout(this.#timer);
    this.#timer = undefined;
    if (behind === undefined) return;
    // Not in the timer itself: behind a pause of this process the answers are there, and are read first.
    const late = (): void => void setImmediate(() => {
      if (this.#entries[0]?.behind !== behind) return;
      this.#fence.giveUp(behind);
      this.advance();
    });
    this.#timer = setTimeout(late, Math.max(0, behind.at_ms + STANDS_MS_MAX - this.#now()));
    this.#timer.unref();
  }
}

function isFor(rooms: ReadonlySet<string>, { rooms: included, except }: Audience): boolean {
  const isIn = (room: string): boolean => rooms.has(room);
  return (included.length === 0 || included.some(isIn)) && !except.some(isIn);
}
