// What a worker said of its sockets' rooms, so that what the daemon did to them in between (MOVED) is applied where it is the later word; and what the
// daemon did to sockets that are not introduced yet.
//
// Deliberately absent: who is in which room (membership.ts), and the frames themselves (adapter.ts).

import { MOVEMENT, type Conn, type Frame } from "./link/frames.js";

/** What the daemon takes in one MOVE: what it costs is so many times the sockets that it moves. */
const PLACES_MAX = 256;
/** What is remembered, of each: the oldest gives way. */
const REMEMBERED_MAX = 65_536;
/** And for how long: MOVED is on its way for less, and a socket comes back within it (resume.ts). */
const REMEMBERED_MS_MAX = 30_000;

/** What became of a socket. */
export type Moved = Pick<Frame<"MOVED">, "what" | "places">;

/** What was said of a socket since it was described. */
interface Said {
  frames: number;
  /** By the rooms' names on the link the last frame that named each of them. */
  readonly rooms: Map<string, number>;
}

/** That a frame named a room. */
interface Word {
  readonly said: Said;
  readonly room: string;
  readonly frame: number;
  readonly at_ms: number;
}

/** A socket that is not introduced yet was moved. */
interface Early {
  readonly conn: Conn;
  readonly moved: Moved[];
  readonly at_ms: number;
}

/** The words and moves of one namespace. */
export class Moves {
  readonly #now: () => number;
  readonly #said = new Map<string, Said>();
  /** The oldest first; those before `#gone` are forgotten. */
  #words: Word[] = [];
  #gone = 0;
  readonly #early = new Map<string, Early>();
  #earlyCount = 0;

  constructor(now: () => number = () => performance.now()) {
    this.#now = now;
  }

  /** The socket is described (MEMBER), or gone: what was said of it before counts no more. */
  begin(sid: string): void {
    this.#said.delete(sid);
  }

  /** One frame, JOIN or LEAVE, names these rooms. */
  say(sid: string, rooms: readonly string[]): void {
    const at_ms = this.#now();
    let said = this.#said.get(sid);
    if (said === undefined) this.#said.set(sid, (said = { frames: 0, rooms: new Map() }));
    said.frames += 1;
    for (const room of rooms) {
      said.rooms.set(room, said.frames);
      this.#words.push({ said, room, frame: said.frames, at_ms });
    }
    this.#forgetWords(at_ms);
  }

  #forgetWords(now_ms: number): void {
    for (;;) {
      const oldest = this.#words[this.#gone];
      if (oldest === undefined || (now_ms < oldest.at_ms + REMEMBERED_MS_MAX && this.#words.length - this.#gone <= REMEMBERED_MAX)) break;
      this.#gone += 1;
      // A later frame may have named it again.
      if (oldest.said.rooms.get(oldest.room) === oldest.frame) oldest.said.rooms.delete(oldest.room);
    }
    // Not for each: the whole list is moved.
    if (this.#gone < 1_024 && this.#gone < this.#words.length) return;
    this.#words.splice(0, this.#gone);
    this.#gone = 0;
  }

  /** Of the places that the daemon moved a socket to or from, when it had obeyed so many frames about it, those that no later one names: there the daemon's is the last word. */
  unsaid(sid: string, known: number, places: readonly string[]): readonly string[] {
    const said = this.#said.get(sid);
    if (said === undefined || said.frames <= known) return places;
    return places.filter((place) => (said.rooms.get(place) ?? 0) <= known);
  }

  /** A socket was moved that is not introduced yet. */
  keep(sid: string, conn: Conn, moved: Moved): void {
    const at_ms = this.#now();
    for (const [oldest, early] of this.#early) {
      if (at_ms < early.at_ms + REMEMBERED_MS_MAX && this.#earlyCount < REMEMBERED_MAX) break;
      this.#drop(oldest, early);
    }
    let early = this.#early.get(sid);
    if (early && early.conn !== conn) this.#drop(sid, early);
    early = this.#early.get(sid);
    if (early === undefined) this.#early.set(sid, (early = { conn, moved: [], at_ms }));
    early.moved.push(moved);
    this.#earlyCount += 1;
  }

  #drop(sid: string, early: Early): void {
    this.#early.delete(sid);
    this.#earlyCount -= early.moved.length;
  }

  /** What became of a socket before it is introduced now, on this connection. */
  take(sid: string, conn: Conn): readonly Moved[] {
    const early = this.#early.get(sid);
    if (early?.conn !== conn) return [];
    this.#drop(sid, early);
    return early.moved;
  }

  /** The session is gone, and what was said in it. */
  clear(): void {
    this.#said.clear();
    this.#early.clear();
    this.#words = [];
    this.#gone = this.#earlyCount = 0;
  }
}

/** The body of a MOVE. */
export type Move = Omit<Frame<"MOVE">, "name" | "flags" | "conn">;

/** What is asked, in as many frames as it takes: each chooses its sockets anew, so that rooms by which they are chosen come last. */
export function movesOf(move: Move): Move[] {
  const { what, rooms, except, places } = move;
  if (what === MOVEMENT.DISCONNECT || what === MOVEMENT.CLOSE || places.length <= PLACES_MAX) return [move];
  const choosing = new Set([...rooms, ...except]);
  const ordered = [...places.filter((place) => !choosing.has(place)), ...places.filter((place) => choosing.has(place))];
  const moves: Move[] = [];
  for (let from = 0; from < ordered.length; from += PLACES_MAX) moves.push({ ...move, places: ordered.slice(from, from + PLACES_MAX) });
  return moves;
}
