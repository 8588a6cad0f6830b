// What applications keep at a socket, as JSON: it waits in the daemon, and comes to other workers. A part that is no JSON is left out, and the process says so.

import { warnOnce } from "./warned.js";

/** What the daemon keeps of a socket whose client may come back (docs/upstream.md "When a client loses its connection"), with what it costs there beside its texts. */
export const SESSION_BYTES_MAX = 256 << 10;
const SESSION_COST_BYTES = 256;
const ROOM_COST_BYTES = 16;
/** A text of a socket's on the link: with all others of MEMBER it is less than a frame. */
const TEXT_BYTES_MAX = 6 << 20;

/** Whose something is. */
export interface Owner {
  /** How the application calls it. */
  readonly what: "socket.data" | "socket.handshake.auth";
  readonly nsp: string;
  readonly sid: string;
}

/** The JSON of an object; of one that is none the keys that are. */
export function jsonText(owner: Owner, value: unknown): string {
  const text = textOf(value ?? {}) ?? JSON.stringify(keep(owner, value));
  const bytes = Buffer.byteLength(text);
  if (bytes <= TEXT_BYTES_MAX) return text;
  warn(owner, "", `has ${bytes} bytes of JSON, and the link carries ${TEXT_BYTES_MAX}: other workers, and a client that comes back, have nothing of it`);
  return "{}";
}

/** What is left of an object as JSON. */
export function jsonOnly(owner: Owner, value: unknown): unknown {
  return value === undefined || textOf(value) !== undefined ? value : keep(owner, value);
}

function textOf(value: unknown): string | undefined {
  try {
    return JSON.stringify(value);
  } catch {
    return undefined;
  }
}

function keep(owner: Owner, value: unknown): Record<string, unknown> {
  const kept: Record<string, unknown> = {};
  if (typeof value !== "object" || value === null) return kept;
  for (const key of Object.keys(value)) {
    try {
      const item: unknown = Reflect.get(value, key);
      JSON.stringify(item);
      kept[key] = item;
    } catch (error) {
      const [why] = String(error).split("\n");
      warn(owner, `.${key}`, `is no JSON (${why}): other workers, and a client that comes back, have nothing of it`);
    }
  }
  return kept;
}

/** Whether the daemon keeps a socket for a client that comes back. */
export function isSession(owner: Owner, data: string, rooms: readonly string[]): boolean {
  const names = rooms.reduce((sum, room) => sum + ROOM_COST_BYTES + Buffer.byteLength(room), 0);
  const bytes = SESSION_COST_BYTES + Buffer.byteLength(owner.sid) + Buffer.byteLength(data) + names;
  if (bytes <= SESSION_BYTES_MAX) return true;
  warn(owner, "", `and its rooms have ${bytes} bytes, and the daemon keeps ${SESSION_BYTES_MAX} of a socket: its client starts anew when it comes back`, "RINGWAY_SESSION");
  return false;
}

function warn({ what, nsp, sid }: Owner, key: string, words: string, code = "RINGWAY_DATA"): void {
  warnOnce(code, `${what}${key} ${nsp}`, `${what}${key} of the socket ${sid} in ${nsp} ${words}`);
}
