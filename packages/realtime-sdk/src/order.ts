// What emitters ask of workers: messages of the adapter's own, by their names, which need no answer. What becomes of sockets is among them where the daemon
// does not do it itself.
//
// A peer's messages have a number in the place of the name, and are believed only of who was named as a peer.

import type { ClusterMessage } from "socket.io-adapter";

import type { AdapterModule } from "./adapter.js";
import { withNumbers } from "./rooms.js";

/** A sender of this name is none of the servers, and is not counted as one. */
const EMITTER_UID = "emitter";

const isTexts = (value: unknown): value is string[] => Array.isArray(value) && value.every((item) => typeof item === "string");

const isObject = (value: unknown): value is Record<string, unknown> => typeof value === "object" && value !== null;

/** Whether a message is an emitter's. */
export function isOrder(message: Record<string, unknown>): boolean {
  return typeof message["type"] === "string";
}

/** The adapter's own message; nothing when it is not one that an emitter may send, or not whole. */
export function orderOf(message: Record<string, unknown>, nsp: string, types: AdapterModule["MessageType"]): ClusterMessage | undefined {
  const { type, data } = message;
  if (!isObject(data)) return undefined;
  const order = (known: number, rest: object): ClusterMessage => ({ uid: EMITTER_UID, nsp, type: known, data: rest }) as unknown as ClusterMessage;
  const opts = targetOf(data["opts"]);
  switch (type) {
    case "SERVER_SIDE_EMIT": {
      const { packet } = data;
      return Array.isArray(packet) && typeof packet[0] === "string" ? order(types.SERVER_SIDE_EMIT, { packet }) : undefined;
    }
    case "SOCKETS_JOIN": case "SOCKETS_LEAVE": {
      const { rooms } = data;
      if (!opts || !isTexts(rooms)) return undefined;
      return order(types[type], { opts, rooms: type === "SOCKETS_LEAVE" ? withNumbers(rooms) : rooms });
    }
    case "DISCONNECT_SOCKETS": return opts && order(types.DISCONNECT_SOCKETS, { opts, close: data["close"] === true });
    default: return undefined;
  }
}

function targetOf(opts: unknown): { rooms: string[]; except: string[]; flags: object } | undefined {
  if (!isObject(opts)) return undefined;
  const { rooms, except } = opts;
  return isTexts(rooms) && isTexts(except) ? { rooms: withNumbers(rooms), except: withNumbers(except), flags: {} } : undefined;
}
