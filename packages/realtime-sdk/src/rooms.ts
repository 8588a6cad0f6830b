// What a room is called on the link. Names there have a bound that Socket.IO has not: a longer one, which may be a client's own words, goes by its hash, in
// every worker by the same. And they are texts: a room that is a number goes by that, so that who knows it by name only, an emitter, the operator or a worker
// of an earlier version, means the same. `socket.rooms` and `adapter.rooms` have the real name.
//
// What the daemon gives back (RESUME, SESSION_RES) is the name on the link: whoever looks for the real one here looks for that, too.

import { createHash } from "node:crypto";

/** A text has its length in front as u16; this is less, so that as many rooms as a socket may be in fit into the frame by which another worker hears of it. */
export const ROOM_BYTES_MAX = 4_096;
/** What no room of anybody's begins with. */
const PREFIX = "ringway.long-room.sha256.";
/** UTF-8 of one unit of a string. */
const UNIT_BYTES_MAX = 3;

/** The name on the link. */
export function wireRoom(room: unknown): string {
  const name = String(room);
  if (!isLong(name)) return name;
  return PREFIX + createHash("sha256").update(name).digest("hex");
}

/** Whether a name goes by its hash. */
function isLong(name: string): boolean {
  return name.length * UNIT_BYTES_MAX > ROOM_BYTES_MAX && Buffer.byteLength(name) > ROOM_BYTES_MAX;
}

/** Whether a room has another name on the link than here. */
export function isRenamed(room: unknown): boolean {
  return typeof room !== "string" || isLong(room);
}

/** Whom something concerns. */
interface Rooms {
  readonly rooms: ReadonlySet<string>;
  readonly except?: ReadonlySet<string>;
}

/** The same, with rooms' names on the link beside their real ones: a socket that came from another worker is in them by these. */
export function withWireNames<Target extends Rooms>(target: Target): Target {
  const { rooms, except } = target;
  if (!hasRenamed(rooms) && !hasRenamed(except)) return target;
  return { ...target, rooms: withWire(rooms), except: withWire(except) };
}

function hasRenamed(rooms: Iterable<unknown> = []): boolean {
  for (const room of rooms) if (isRenamed(room)) return true;
  return false;
}

function withWire(rooms: Iterable<string> = []): Set<string> {
  return new Set([...rooms].flatMap((room) => [room, wireRoom(room)]));
}

/** Rooms by their names on the link, and the numbers that may be meant by them: here a socket may be in the one or in the other. */
export function withNumbers(names: readonly string[]): string[] {
  return names.flatMap((name) => (String(Number(name)) === name ? [name, Number(name) as unknown as string] : [name]));
}

/** What a room of another name on the link is here: what is no text is JSON all the same. */
export type RoomValue = string | number | boolean | null;

/** What others' rooms are called here is kept of so many, and of so many bytes: the oldest gives way. */
const NAMES_MAX = 10_000;
const NAMES_BYTES_MAX = 4 << 20;

/**
 * What rooms are called here that have another name on the link, as workers tell each other before they move sockets of all: the daemon knows the name on
 * the link alone. Whoever has not heard of one, or has forgotten it, goes by that, as with a socket that comes from another worker.
 */
export class RoomNames {
  readonly #values = new Map<string, RoomValue>();
  #bytes = 0;
  /** Those that all other workers were told from here. */
  readonly #told = new Set<string>();

  /** What a room is called here. */
  roomOf(name: string): string {
    const value = this.#values.get(name);
    // The types of socket.io know texts alone, and `join` takes what it is given.
    return value === undefined ? name : (value as string);
  }

  /** What others are to be told before sockets are moved to these rooms. A name that is here by a text has it in place of the value. */
  news(rooms: readonly unknown[]): [string, RoomValue][] {
    const news: [string, RoomValue][] = [];
    for (const room of rooms) {
      const name = wireRoom(room);
      const known = this.#values.get(name);
      if (!isRenamed(room)) {
        if (known !== undefined) news.push([name, name]);
      } else if (isValue(room) && !(known === room && this.#told.has(name))) {
        news.push([name, room]);
      }
    }
    for (const [name, value] of news) {
      this.#set(name, value);
      if (isRenamed(value)) this.#told.add(name);
      else this.#told.delete(name);
    }
    return news;
  }

  /** Another worker has told it. What is none is passed over. */
  take(pairs: unknown): void {
    if (!Array.isArray(pairs)) return;
    for (const pair of pairs as unknown[]) {
      const [name, value] = Array.isArray(pair) ? (pair as unknown[]) : [];
      if (typeof name !== "string" || !isValue(value) || wireRoom(value) !== name) continue;
      if (this.#values.get(name) !== value) this.#told.delete(name);
      this.#set(name, value);
    }
  }

  /** There is somebody who was told nothing. */
  tellAnew(): void {
    this.#told.clear();
  }

  #set(name: string, value: RoomValue): void {
    this.#delete(name);
    if (!isRenamed(value)) return;
    this.#values.set(name, value);
    this.#bytes += costOf(name, value);
    for (const oldest of this.#values.keys()) {
      if (this.#values.size <= NAMES_MAX && this.#bytes <= NAMES_BYTES_MAX) break;
      this.#delete(oldest);
      this.#told.delete(oldest);
    }
  }

  #delete(name: string): void {
    const value = this.#values.get(name);
    if (value === undefined) return;
    this.#values.delete(name);
    this.#bytes -= costOf(name, value);
  }
}

function costOf(name: string, value: RoomValue): number {
  return name.length + String(value).length;
}

function isValue(value: unknown): value is RoomValue {
  return value === null || typeof value === "string" || typeof value === "boolean" || (typeof value === "number" && Number.isFinite(value));
}
