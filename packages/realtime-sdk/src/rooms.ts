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
