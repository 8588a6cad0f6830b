// The frames of rwlink/1 as a table (docs/link.md "Types"), from which both the codec and the types are made.

import type { Json, JsonBodies } from "./json.js";

/** Bytes of `len`, `type`, `flags` and `conn`. */
export const HEADER_BYTES = 14;
/** What `len` counts beside the body. */
export const LEN_BYTES_MIN = 10;
/** How long a body may be. */
export const FRAME_BODY_BYTES_MAX = 16 << 20;

/** The flags of docs/link.md "Frames". */
export const FLAG = {
  BINARY: 1,
  VOLATILE: 2,
  NO_COMPRESS: 4,
  LOCAL: 8,
  RECOVER: 16,
  DISCARD: 32,
  ASCII: 64,
  REMOVED: 128,
  /** Of SEND, which does not know `REMOVED`. */
  REST: 128,
} as const;

/** What becomes of sockets that are moved. */
export const MOVEMENT = { JOIN: 0, LEAVE: 1, DISCONNECT: 2, CLOSE: 3 } as const;

/** `known` in MOVED, of a socket that this worker had not described. */
export const MOVED_UNKNOWN = 0xffff_ffff;

/**
 * How a field is written. `texts` is `n × s16`, `parts` `n × part`; `payload` and `rest` reach to the end of the body, and a
 * payload is text unless the frame is BINARY.
 */
export type Kind =
  | "u8" | "u16" | "u32" | "u64" | "bit" | "reason" | "movement" | "found"
  | "s16" | "s32" | "json" | "texts" | "parts" | "payload" | "rest";

interface Shape {
  readonly type: number;
  /** Who may send it. */
  readonly from: "daemon" | "worker" | "both";
  /** The flags that it knows. */
  readonly flags: number;
  readonly fields: readonly (readonly [string, Kind])[];
}

const { BINARY, VOLATILE, NO_COMPRESS, LOCAL, RECOVER, DISCARD, ASCII, REMOVED, REST } = FLAG;
const BROADCAST_FLAGS = VOLATILE | NO_COMPRESS | LOCAL | RECOVER | ASCII;
const MAC = [["json", "json"], ["mac", "s16"]] as const;
const JSON_ONLY = [["json", "json"]] as const;
const ROOMS = [["nsp", "u16"], ["rooms", "texts"]] as const;
const BROADCAST = [["nsp", "u16"], ["rooms", "texts"], ["except", "texts"], ["parts", "parts"]] as const;

/** Every frame of this version by its name. */
export const FRAMES = {
  CHALLENGE: { type: 0, from: "daemon", flags: 0, fields: JSON_ONLY },
  HELLO: { type: 1, from: "worker", flags: 0, fields: MAC },
  WELCOME: { type: 2, from: "daemon", flags: 0, fields: MAC },
  BIND: { type: 3, from: "worker", flags: 0, fields: JSON_ONLY },
  GOAWAY: { type: 4, from: "both", flags: 0, fields: JSON_ONLY },
  PING: { type: 5, from: "both", flags: 0, fields: [["number", "u64"]] },
  PONG: { type: 6, from: "both", flags: 0, fields: [["number", "u64"]] },
  CREDIT: { type: 7, from: "both", flags: 0, fields: [["frames", "u64"], ["bytes", "u64"]] },
  PEERS: { type: 8, from: "daemon", flags: 0, fields: [["nsp", "s16"], ["instances", "texts"]] },
  ERROR: { type: 9, from: "both", flags: 0, fields: [["code", "s16"], ["message", "s16"]] },
  OPEN: { type: 16, from: "daemon", flags: 0, fields: JSON_ONLY },
  DATA: { type: 17, from: "daemon", flags: BINARY | ASCII, fields: [["payload", "payload"]] },
  CLOSE: { type: 18, from: "daemon", flags: 0, fields: [["reason", "reason"], ["code", "u16"], ["text", "s16"]] },
  TRANSPORT: { type: 19, from: "daemon", flags: 0, fields: [["phase", "bit"], ["transport", "bit"]] },
  RESUME: { type: 20, from: "daemon", flags: 0, fields: JSON_ONLY },
  SEND: { type: 21, from: "worker", flags: BINARY | VOLATILE | NO_COMPRESS | ASCII | REST, fields: [["payload", "payload"]] },
  CLOSE_CONN: { type: 22, from: "worker", flags: DISCARD, fields: [] },
  HS_REQ: { type: 23, from: "daemon", flags: 0, fields: [["request", "u32"], ["json", "json"]] },
  HS_RES: { type: 24, from: "worker", flags: 0, fields: [["request", "u32"], ["json", "json"]] },
  PRESSURE: { type: 25, from: "daemon", flags: 0, fields: [["on", "bit"], ["waiting", "u32"]] },
  HOLD: { type: 26, from: "worker", flags: 0, fields: [["on", "bit"]] },
  NSP: { type: 32, from: "worker", flags: REMOVED, fields: [["namespace", "s16"]] },
  MEMBER: {
    type: 33, from: "worker", flags: 0,
    fields: [["nsp", "u16"], ["sid", "s16"], ["pid", "s16"], ["rooms", "texts"], ["auth", "s32"], ["data", "s32"]],
  },
  JOIN: { type: 34, from: "worker", flags: 0, fields: ROOMS },
  LEAVE: { type: 35, from: "worker", flags: 0, fields: ROOMS },
  LEAVE_ALL: { type: 36, from: "worker", flags: 0, fields: [["nsp", "u16"]] },
  BCAST: { type: 37, from: "worker", flags: BROADCAST_FLAGS, fields: BROADCAST },
  BCAST_ACK: {
    type: 38, from: "worker", flags: BROADCAST_FLAGS,
    fields: [["request", "u32"], ["timeout_ms", "u32"], ...BROADCAST],
  },
  BCAST_COUNT: { type: 39, from: "daemon", flags: 0, fields: [["request", "u32"], ["clients", "u32"]] },
  BCAST_REPLY: { type: 40, from: "daemon", flags: 0, fields: [["request", "u32"], ["parts", "parts"]] },
  BUS: { type: 41, from: "both", flags: VOLATILE, fields: [["nsp", "s16"], ["to", "s16"], ["from", "s16"], ["opaque", "rest"]] },
  SESSION_SAVE: {
    type: 42, from: "worker", flags: 0,
    fields: [["nsp", "u16"], ["pid", "s16"], ["rooms", "texts"], ["sid", "s16"], ["data", "s32"]],
  },
  SESSION_GET: {
    type: 43, from: "worker", flags: 0,
    fields: [["request", "u32"], ["nsp", "u16"], ["pid", "s16"], ["offset", "s16"]],
  },
  SESSION_RES: {
    type: 44, from: "daemon", flags: 0,
    fields: [["request", "u32"], ["found", "found"], ["sid", "s16"], ["rooms", "texts"], ["data", "s32"], ["parts", "parts"]],
  },
  SET_DATA: { type: 45, from: "worker", flags: 0, fields: [["nsp", "u16"], ["data", "s32"]] },
  CONN_ERROR: { type: 46, from: "daemon", flags: 0, fields: JSON_ONLY },
  MOVE: {
    type: 47, from: "worker", flags: 0,
    fields: [["nsp", "u16"], ["what", "movement"], ["rooms", "texts"], ["except", "texts"], ["places", "texts"]],
  },
  MOVED: {
    type: 48, from: "daemon", flags: 0,
    fields: [["nsp", "s16"], ["sid", "s16"], ["known", "u32"], ["what", "movement"], ["places", "texts"]],
  },
  MIGRATE_OUT: { type: 50, from: "both", flags: 0, fields: [] },
} as const satisfies Record<string, Shape>;

/**
 * A connection's number, a u64: a number up to 2^53, and a bigint from there on, so that one connection is always the same
 * value. The daemon's upper bits name a shard; few machines have so many that a bigint is met.
 */
export type Conn = number | bigint;

/** The name of a frame. */
export type FrameName = keyof typeof FRAMES;

/** A Socket.IO packet without the Engine.IO `4`, or an attachment. */
export interface Part {
  readonly binary: boolean;
  readonly bytes: Uint8Array | string;
}

interface FieldTypes {
  u8: number;
  u16: number;
  u32: number;
  u64: bigint;
  bit: number;
  reason: number;
  movement: number;
  found: boolean;
  s16: string;
  s32: string;
  texts: readonly string[];
  parts: readonly Part[];
}

type FieldsOf<Name extends FrameName> = (typeof FRAMES)[Name]["fields"][number];
type JsonOf<Name extends FrameName> = Name extends keyof JsonBodies ? Json<JsonBodies[Name]> : never;
type Values<Name extends FrameName, Rest> = {
  readonly [Field in FieldsOf<Name> as Field[0]]: Field[1] extends keyof FieldTypes
    ? FieldTypes[Field[1]]
    : Field[1] extends "json" ? JsonOf<Name> : Rest;
};

/** The fields of a frame that is to be written; text that reaches to the end of the body may stay a string. */
export type Fields<Name extends FrameName> = Values<Name, Uint8Array | string>;

/** A frame that was read. Its bytes are a view into memory that is used again when it was dealt with. What a client said is a string if it is text. */
export type Frame<Name extends FrameName = FrameName> = Name extends FrameName
  ? { readonly name: Name; readonly flags: number; readonly conn: Conn } & Values<Name, Name extends "DATA" ? Buffer | string : Buffer>
  : never;

/** Whether a type is counted, that is kept until the peer's CREDIT covers it. */
export function isCounted(type: number): boolean {
  return type === FRAMES.BIND.type || type === FRAMES.PEERS.type || (type >= 16 && type < 64);
}
