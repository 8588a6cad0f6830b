// What a worker said of its sockets' rooms, so that what the daemon did to them in between (MOVED) is applied where it is the later word; and what the
// daemon did to sockets that are not introduced yet.
//
// Deliberately absent: who is in which room (membership.ts), and the frames themselves (adapter.ts).

import { MOVEMENT, type Frame } from "./link/frames.js";

/** What the daemon takes in one MOVE: what it costs is so many times the sockets that it moves. */
const PLACES_MAX = 64;
const PLACES_BYTES_MAX = 64 << 10;
/** What is remembered, of each: the oldest gives way. Rooms are named by the frames and moves. */
const REMEMBERED_MAX = 65_536;
const REMEMBERED_ROOMS_MAX = 4 * REMEMBERED_MAX;
/** And for how long: MOVED is on its way for less, and a socket comes back within it (resume.ts). */
const REMEMBERED_MS_MAX = 30_000;

/** What became of a socket. */
export type Moved = Pick<Frame<"MOVED">, "what" | "places">;

/** A socket that is not introduced yet was moved. */
interface Early {
  /** On which it is coming: of another stay of the same client nothing counts. */
  readonly connection: object;
  readonly moved: Moved[];
  readonly at_ms: number;
}

/** The words and moves of one namespace. */
export class Moves {
  readonly #now: () => number;
  /** Frames about each socket since it was described. */
  readonly #frames = new Map<string, number>();
  /**
   * Each frame of lately, the oldest first: about whom, and which rooms it named by their names on the link. Most sockets have some, so that no objects are
   * made of them, and the time is of all in a second. Those before `#gone` are forgotten.
   */
  #sids: string[] = [];
  #rooms: (string | readonly string[])[] = [];
  #seconds: { readonly at_ms: number; frames: number }[] = [];
  #gone = 0;
  #roomsCount = 0;
  /** Where each socket's frames stand, made when somebody asks: most workers' sockets are moved by nobody else. */
  #places: Map<string, number[]> | undefined;
  /** The rooms of those that say again what the daemon had done. */
  #echoes = new WeakSet<readonly string[]>();
  readonly #early = new Map<string, Early>();
  #earlyCount = 0;

  constructor(now: () => number = () => performance.now()) {
    this.#now = now;
  }

  /** The socket is described (MEMBER), or gone: what was said of it before counts no more. */
  begin(sid: string): void {
    this.#frames.delete(sid);
  }

  /** One frame, JOIN or LEAVE, names these rooms. `isEcho`: it says again what the daemon has done, which is no word of this worker's own. */
  say(sid: string, rooms: readonly string[], isEcho = false): void {
    this.#frames.set(sid, (this.#frames.get(sid) ?? 0) + 1);
    this.#placesOf(sid)?.push(this.#sids.length);
    this.#sids.push(sid);
    this.#rooms.push(rooms.length === 1 && !isEcho ? (rooms[0] as string) : rooms);
    this.#roomsCount += rooms.length;
    if (isEcho) this.#echoes.add(rooms);
    const now_ms = this.#now();
    const last = this.#seconds.at(-1);
    if (last && now_ms < last.at_ms + 1_000) last.frames += 1;
    else this.#seconds.push({ at_ms: now_ms, frames: 1 });
    this.#forget(now_ms);
  }

  /** Where frames of a socket stand, if that is known of any; they are to be known of this one, too. */
  #placesOf(sid: string): number[] | undefined {
    if (this.#places === undefined) return undefined;
    let places = this.#places.get(sid);
    if (places === undefined) this.#places.set(sid, (places = []));
    return places;
  }

  #find(sid: string): readonly number[] {
    if (this.#places === undefined) {
      this.#places = new Map();
      for (let at = this.#gone; at < this.#sids.length; at += 1) this.#placesOf(this.#sids[at] as string)?.push(at);
    }
    return this.#places.get(sid) ?? [];
  }

  #forget(now_ms: number): void {
    for (let oldest = this.#seconds[0]; oldest; oldest = this.#seconds[0]) {
      const isOver = now_ms >= oldest.at_ms + REMEMBERED_MS_MAX;
      const isMuch = this.#sids.length - this.#gone > REMEMBERED_MAX || this.#roomsCount > REMEMBERED_ROOMS_MAX;
      if (!isOver && !isMuch) break;
      this.#forgetOne();
      oldest.frames -= 1;
      if (oldest.frames === 0) this.#seconds.shift();
    }
    // Not for each: the whole lists are moved.
    if (this.#gone < 1_024 && this.#gone < this.#sids.length) return;
    this.#sids.splice(0, this.#gone);
    this.#rooms.splice(0, this.#gone);
    this.#gone = 0;
    this.#places = undefined;
  }

  #forgetOne(): void {
    const rooms = this.#rooms[this.#gone] as string | readonly string[];
    this.#roomsCount -= typeof rooms === "string" ? 1 : rooms.length;
    this.#gone += 1;
  }

  /**
   * Of the places that the daemon moved a socket to or from, when it had obeyed so many frames about it, those that no later one names: there the daemon's is
   * the last word. Without a number it had not heard of the socket: then what was said again of its own doings does not count, as that is said again, too.
   */
  unsaid(sid: string, known: number | undefined, places: readonly string[]): readonly string[] {
    const left = (this.#frames.get(sid) ?? 0) - (known ?? 0);
    if (left <= 0 || places.length === 0) return places;
    const later = new Set<string>();
    for (const at of this.#find(sid).slice(-left)) {
      if (at < this.#gone) continue;
      const said = this.#rooms[at] as string | readonly string[];
      const rooms = typeof said === "string" ? [said] : said;
      if (known !== undefined || !this.#echoes.has(rooms)) for (const room of rooms) later.add(room);
    }
    return places.filter((place) => !later.has(place));
  }

  /** A socket was moved that is not introduced yet. */
  keep(sid: string, connection: object, moved: Moved): void {
    const at_ms = this.#now();
    for (const [oldest, early] of this.#early) {
      if (at_ms < early.at_ms + REMEMBERED_MS_MAX && this.#earlyCount < REMEMBERED_MAX) break;
      this.#drop(oldest, early);
    }
    let early = this.#early.get(sid);
    if (early && early.connection !== connection) this.#drop(sid, early);
    early = this.#early.get(sid);
    if (early === undefined) this.#early.set(sid, (early = { connection, moved: [], at_ms }));
    early.moved.push(moved);
    this.#earlyCount += costOf(moved);
  }

  #drop(sid: string, early: Early): void {
    this.#early.delete(sid);
    for (const moved of early.moved) this.#earlyCount -= costOf(moved);
  }

  /** What became of a socket before it is introduced now, on this connection. */
  take(sid: string, connection: object): readonly Moved[] {
    const early = this.#early.get(sid);
    if (early?.connection !== connection) return [];
    this.#drop(sid, early);
    return early.moved;
  }

  /** The session is gone, and what was said in it. */
  clear(): void {
    this.#frames.clear();
    this.#sids = [];
    this.#rooms = [];
    this.#seconds = [];
    this.#early.clear();
    this.#places = undefined;
    this.#gone = this.#roomsCount = this.#earlyCount = 0;
  }
}

/** What a move is counted with while it is remembered: its socket, and the rooms that it names. */
export const costOf = ({ places }: Pick<Moved, "places">): number => 1 + places.length;

/** The body of a MOVE. */
export type Move = Omit<Frame<"MOVE">, "name" | "flags" | "conn">;

/** What is asked, in as many frames as it takes: each chooses its sockets anew, so that rooms by which they are chosen come last. */
export function movesOf(move: Move): Move[] {
  const { what, rooms, except, places } = move;
  if (what === MOVEMENT.DISCONNECT || what === MOVEMENT.CLOSE) return [move];
  const choosing = new Set([...rooms, ...except]);
  const ordered = [...places.filter((place) => !choosing.has(place)), ...places.filter((place) => choosing.has(place))];
  return inPieces(ordered).map((some) => ({ ...move, places: some }));
}

/** At least one, in each as many as one MOVE may name. */
function inPieces(places: readonly string[]): string[][] {
  let piece: string[] = [];
  let bytes = 0;
  const pieces = [piece];
  for (const place of places) {
    bytes += Buffer.byteLength(place);
    if (piece.length >= PLACES_MAX || (piece.length > 0 && bytes > PLACES_BYTES_MAX)) {
      pieces.push((piece = []));
      bytes = Buffer.byteLength(place);
    }
    piece.push(place);
  }
  return pieces;
}
