// What other workers were asked to do to their sockets is done when they say so. Until then what is said to those whom it concerns waits (line.ts), and so
// stands behind it: `io.socketsJoin("room")` and then `io.to("room").emit()` reaches the sockets of all workers.
//
// Deliberately absent: what is asked, and the messages themselves (adapter.ts), and when it is too late (line.ts).

/** How long another worker may take: one whose loop stands still must not keep back the broadcasts of all others. */
export const STANDS_MS_MAX = 2_000;

/** Something that the others were asked to do. */
export interface Asked {
  readonly number: number;
  readonly at_ms: number;
}

interface Peer {
  passed: number;
  /** It was waited for in vain, and is not until it says something again. */
  isLate: boolean;
}

/** Messages to the other workers of a namespace, numbered, and how far each of them has come. */
export class Fence {
  readonly #peers = new Map<string, Peer>();
  readonly #now: () => number;
  #last = 0;
  /** The last one that changed who is in a room, the oldest first, of those that somebody has not dealt with. */
  readonly #rooms = new Map<string, Asked>();
  /** And the last one that changed, or told, whoever it was. */
  #all: Asked | undefined;

  constructor(now: () => number = () => performance.now()) {
    this.#now = now;
  }

  /** The number that the next one will have. */
  get next(): number {
    return this.#last + 1;
  }

  /** One more message that the others must deal with; `rooms` are those that sockets join or leave by it, if it does nothing else. */
  raise(rooms?: Iterable<string>): Asked {
    this.#prune();
    this.#last += 1;
    const asked = { number: this.#last, at_ms: this.#now() };
    if (rooms === undefined) this.#all = asked;
    else for (const room of rooms) {
      this.#rooms.delete(room);
      this.#rooms.set(room, asked);
    }
    return asked;
  }

  /** A worker has dealt with a message, and with all before it. */
  pass(name: string, number: number): void {
    const peer = this.#peers.get(name);
    if (peer === undefined || number > this.#last) return;
    peer.passed = Math.max(peer.passed, number);
    peer.isLate = false;
  }

  /** A worker that comes was asked nothing. */
  add(name: string): void {
    if (!this.#peers.has(name)) this.#peers.set(name, { passed: this.#last, isLate: false });
  }

  remove(name: string): void {
    this.#peers.delete(name);
  }

  /** The last thing that was asked, and is not done, of what changes who hears what is said to these rooms, or to all but those. */
  before(rooms: Iterable<string>): Asked | undefined {
    this.#prune();
    let last = this.#all;
    if (this.#rooms.size === 0) return last;
    for (const room of rooms) {
      const asked = this.#rooms.get(room);
      if (asked && asked.number > (last?.number ?? 0)) last = asked;
    }
    return last;
  }

  /** Whether everybody who is waited for has dealt with it. */
  isDone({ number }: Asked): boolean {
    for (const { passed, isLate } of this.#peers.values()) if (passed < number && !isLate) return false;
    return true;
  }

  /** Nobody is waited for any more who has not dealt with it. */
  giveUp({ number }: Asked): void {
    for (const peer of this.#peers.values()) if (peer.passed < number) peer.isLate = true;
  }

  #prune(): void {
    const isOver = (asked: Asked): boolean => this.isDone(asked) || this.#now() >= asked.at_ms + STANDS_MS_MAX;
    if (this.#all && isOver(this.#all)) this.#all = undefined;
    for (const [room, asked] of this.#rooms) {
      if (!isOver(asked)) break;
      this.#rooms.delete(room);
    }
  }
}
