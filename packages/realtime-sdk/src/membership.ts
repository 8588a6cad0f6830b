// Which of a namespace's sockets here are in which rooms, as `adapter.rooms` and `adapter.sids` show it, with the events of socket.io-adapter in its order.
//
// A room has a name on the link that may be another one than its own (rooms.ts): a socket that came from another worker, or that another worker has moved,
// is in it by the one that the daemon gave, unless its own is known.
//
// Deliberately absent: what the daemon is told, and when (adapter.ts).

import { Mirror } from "./mirror.js";
import { isRenamed, wireRoom, type RoomNames } from "./rooms.js";

/** The events of an adapter. */
export type Tell = (event: "create-room" | "join-room" | "leave-room" | "delete-room", room: string, id?: string) => void;

/** The sockets and rooms of one adapter. */
export class Membership {
  readonly rooms = new Mirror();
  readonly sids = new Mirror();
  /** Rooms in which sockets are by names that the daemon gave: the application's own for them may be others. */
  readonly #given = new Mirror();
  readonly #names: RoomNames;
  readonly #tell: Tell;
  /** Most applications have none. */
  #hasRenamed = false;

  constructor(names: RoomNames, tell: Tell) {
    this.#names = names;
    this.#tell = tell;
  }

  /** The application joins a socket to a room: whether it was not in it by this name. */
  join(id: string, room: string): boolean {
    if (isRenamed(room)) {
      const name = wireRoom(room);
      if (this.#given.holds(id, name)) this.#exit(id, name);
    } else {
      // It is the application's own word from now on.
      this.#given.take(id, room);
    }
    return this.#enter(id, room);
  }

  #enter(id: string, room: string): boolean {
    if (this.sids.holds(id, room)) return false;
    if (isRenamed(room)) this.#hasRenamed = true;
    this.sids.put(id, room);
    const isNew = !this.rooms.has(room);
    this.rooms.open(room);
    if (isNew) this.#tell("create-room", room);
    if (this.rooms.holds(room, id)) return true;
    this.rooms.put(room, id);
    this.#tell("join-room", room, id);
    return true;
  }

  /** The application takes a socket out of a room: whether it is out of it now, by whatever name. `isNew` is one that is not introduced yet. */
  leave(id: string, room: string, isNew: boolean): boolean {
    let had = this.#exit(id, room);
    const name = wireRoom(room);
    if (isRenamed(room) && (this.#given.holds(id, name) || (isNew && !had))) had = this.#exit(id, name) || had;
    return had && !this.#isIn(id, name);
  }

  #exit(id: string, room: string): boolean {
    const had = this.sids.take(id, room);
    this.#given.take(id, room);
    this.#empty(room, id);
    return had;
  }

  #empty(room: string, id: string): void {
    if (this.rooms.take(room, id)) this.#tell("leave-room", room, id);
    // Whoever heard of it may have joined somebody.
    if (this.rooms.isEmpty(room) && this.rooms.delete(room)) this.#tell("delete-room", room);
  }

  /** A socket is gone. */
  end(id: string): void {
    for (const room of this.sids.items(id)) this.#empty(room, id);
    this.sids.delete(id);
    this.#given.delete(id);
  }

  /** A socket that was there before is introduced: the names of its rooms are the daemon's. */
  restore(id: string): void {
    if (this.#hasRenamed) for (const room of [...this.sids.items(id)]) if (isRenamed(room)) this.#exit(id, wireRoom(room));
    for (const room of this.sids.items(id)) if (room !== id && !isRenamed(room)) this.#give(id, room);
  }

  #give(id: string, name: string): void {
    if (!this.#given.holds(id, name)) this.#given.put(id, name);
  }

  /** Whether a socket is in a room of this name on the link. */
  #isIn(id: string, name: string): boolean {
    return this.sids.holds(id, name) || this.#twins(id, name).length > 0;
  }

  /** The rooms of a socket that have this name on the link, and another one here. */
  #twins(id: string, name: string): string[] {
    return this.#hasRenamed ? [...this.sids.items(id)].filter((room) => isRenamed(room) && wireRoom(room) === name) : [];
  }

  /** The daemon has joined a socket to rooms. */
  joined(id: string, names: readonly string[]): void {
    this.sids.open(id);
    for (const name of names) {
      // Whoever hears of a room may send the socket away.
      if (!this.sids.has(id)) return;
      if (this.#isIn(id, name)) continue;
      const room = this.#names.roomOf(name);
      if (room === name) this.#give(id, name);
      this.#enter(id, room);
    }
  }

  /** The daemon has taken a socket out of rooms. */
  left(id: string, names: readonly string[]): void {
    for (const name of names) {
      const rooms = this.#twins(id, name);
      if (this.sids.holds(id, name)) rooms.push(name);
      for (const room of rooms) this.#exit(id, room);
    }
  }
}
