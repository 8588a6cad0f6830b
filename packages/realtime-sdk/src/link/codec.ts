// Frames from bytes and bytes from frames. Bytes in, values out: no socket and no clock.
//
// Deliberately absent: what frames mean, and when they may be sent.

import { isAscii, isUtf8 } from "node:buffer";

import { LinkError } from "./errors.js";
import {
  FLAG, FRAMES, FRAME_BODY_BYTES_MAX, HEADER_BYTES, LEN_BYTES_MIN, MOVEMENT,
  type Conn, type Fields, type Frame, type FrameName, type Kind, type Part,
} from "./frames.js";
import { parseJson, type Json, type JsonBodies } from "./json.js";

/** Who reads: frames of the other direction end the link. */
export type Side = "daemon" | "worker";

/** A frame whose body was not looked into yet. */
export class RawFrame {
  readonly type: number;
  readonly flags: number;
  readonly conn: Conn;
  readonly #bytes: Buffer;
  readonly #start: number;
  readonly #end: number;

  /** One that begins at `at` and ends at `end` of `bytes`. */
  constructor(bytes: Buffer, at: number, end: number) {
    this.type = bytes[at + 4] as number;
    this.flags = bytes[at + 5] as number;
    this.conn = connOf(bytes.readUInt32LE(at + 6), bytes.readUInt32LE(at + 10));
    this.#bytes = bytes;
    this.#start = at + HEADER_BYTES;
    this.#end = end;
  }

  get bodyBytes(): number {
    return this.#end - this.#start;
  }

  /** A view. */
  get body(): Buffer {
    return this.#bytes.subarray(this.#start, this.#end);
  }

  /** The body, which should have no byte above 0x7f. A view costs more than a short text. */
  ascii(): string | undefined {
    if (this.bodyBytes > SHORT_BYTES_MAX && !isAscii(this.body)) return undefined;
    const text = this.#bytes.toString("latin1", this.#start, this.#end);
    return this.bodyBytes <= SHORT_BYTES_MAX && ABOVE_ASCII.test(text) ? undefined : text;
  }
}

/** Of a text that is searched by characters. */
const SHORT_BYTES_MAX = 256;
const ABOVE_ASCII = /[\x80-\xff]/;

/** The highest reason of CLOSE (see `CLOSE_REASONS` in connection.ts). */
const REASON_MAX = 4;

/** Cuts a stream into frames, wherever its chunks end. */
export class FrameReader {
  #chunks: Buffer[] = [];
  /** Where in the first chunk the next frame begins. */
  #at = 0;
  /** Bytes from there on. */
  #length = 0;
  /** How many bytes must be there before looking makes sense: joining earlier would make large frames quadratic. */
  #wanted = 4;

  /** Takes what the socket gave; ask {@link next} until it gives nothing. */
  push(chunk: Buffer): void {
    if (chunk.length === 0) return;
    this.#chunks.push(chunk);
    this.#length += chunk.length;
  }

  /** The next whole frame; its body is a part of what was given. Throws `bad-length` as soon as it shows. */
  next(): RawFrame | undefined {
    if (this.#length < this.#wanted) return undefined;
    const bytes = this.#joined();
    const at = this.#at;
    const len = bytes.readUInt32LE(at);
    if (len < LEN_BYTES_MIN || len > LEN_BYTES_MIN + FRAME_BODY_BYTES_MAX) {
      throw new LinkError("bad-length", `a frame of ${len} bytes`);
    }
    if (this.#length < 4 + len) {
      this.#wanted = 4 + len;
      return undefined;
    }
    this.#pass(4 + len);
    return new RawFrame(bytes, at, at + 4 + len);
  }

  /** The memory of the last chunk is about to be used again: what is left of it is copied. */
  release(): void {
    const last = this.#chunks.pop();
    if (last === undefined) return;
    const isFirst = this.#chunks.length === 0;
    this.#chunks.push(Buffer.from(isFirst ? last.subarray(this.#at) : last));
    if (isFirst) this.#at = 0;
  }

  #joined(): Buffer {
    const first = this.#chunks[0] as Buffer;
    if (this.#chunks.length === 1) return first;
    this.#chunks[0] = first.subarray(this.#at);
    this.#at = 0;
    const joined = Buffer.concat(this.#chunks, this.#length);
    this.#chunks = [joined];
    return joined;
  }

  #pass(bytes: number): void {
    this.#wanted = 4;
    this.#at += bytes;
    this.#length -= bytes;
    if (this.#length > 0) return;
    this.#chunks.length = this.#at = 0;
  }
}

function connOf(low: number, high: number): Conn {
  return high < 0x20_0000 ? high * 0x1_0000_0000 + low : (BigInt(high) << 32n) | BigInt(low);
}

const NAMES: (FrameName | undefined)[] = [];
for (const name of Object.keys(FRAMES) as FrameName[]) NAMES[FRAMES[name].type] = name;

/** The frame that `raw` is for `reader`; nothing for one of a later version that may be passed over. */
export function decode(raw: RawFrame, reader: Side): Frame | undefined {
  const name = NAMES[raw.type];
  if (name === undefined) {
    if (raw.type >= 0x80) return undefined;
    throw new LinkError("unknown-type", `type ${raw.type}`);
  }
  const shape = FRAMES[name];
  if (shape.from === reader) throw new LinkError("wrong-direction", `${name} comes from the ${reader} only`);
  if ((raw.flags & ~shape.flags) !== 0) throw new LinkError("unknown-flags", `${raw.flags} of ${name}`);
  // What there is most of.
  if (name === "DATA") return { name, flags: raw.flags, conn: raw.conn, payload: said(raw) };
  const frame: Record<string, unknown> = { name, flags: raw.flags, conn: raw.conn };
  // The number of a namespace, which other frames say in a u16.
  if (name === "NSP" && raw.conn > 0xffff) throw new LinkError("bad-value", `namespace ${raw.conn}`);
  const body = new Body(name, raw.flags, raw.body);
  for (const [field, kind] of shape.fields) frame[field] = body.read(kind);
  body.end();
  return frame as Frame;
}

/** What a client said. */
function said(raw: RawFrame): Buffer | string {
  if ((raw.flags & FLAG.BINARY) !== 0) return raw.body;
  if ((raw.flags & FLAG.ASCII) === 0) return checked("DATA", raw.flags, raw.body).toString();
  const text = raw.ascii();
  if (text === undefined) throw new LinkError("bad-text", "DATA");
  return text;
}

/** A payload, unless it should be text and is none. It stays bytes here: who gets it knows whether it is ever a string. */
function checked(name: FrameName, flags: number, bytes: Buffer): Buffer {
  const isText = (flags & FLAG.ASCII) !== 0 ? isAscii : isUtf8;
  if ((flags & FLAG.BINARY) === 0 && !isText(bytes)) throw new LinkError("bad-text", name);
  return bytes;
}

/** Reads the fields of a body one behind the other. */
class Body {
  readonly #name: FrameName;
  readonly #flags: number;
  readonly #bytes: Buffer;
  #at = 0;
  /** Behind `found` of 0 there is nothing more: the fields are empty. */
  #absent = false;

  constructor(name: FrameName, flags: number, bytes: Buffer) {
    this.#name = name;
    this.#flags = flags;
    this.#bytes = bytes;
  }

  read(kind: Kind): unknown {
    switch (kind) {
      case "u8": return this.#u8();
      case "u16": return this.#take(2).readUInt16LE(0);
      case "u32": return this.#u32();
      case "u64": return this.#take(8).readBigUInt64LE(0);
      case "bit": return this.#atMost(1);
      case "reason": return this.#atMost(REASON_MAX);
      case "movement": return this.#atMost(MOVEMENT.CLOSE);
      case "found": return this.#found();
      case "s16": return this.#absent ? "" : this.#s16();
      case "s32": return this.#absent ? "" : this.#text(this.#u32());
      case "json": return parseJson(this.#name as keyof JsonBodies, this.#text(this.#u32()));
      case "texts": return this.#absent ? [] : this.#list(() => this.#s16());
      case "parts": return this.#absent ? [] : this.#list(() => this.#part());
      case "payload": return checked(this.#name, this.#flags, this.#rest());
      case "rest": return this.#rest();
    }
  }

  end(): void {
    if (this.#at < this.#bytes.length) throw new LinkError("trailing-bytes", `behind ${this.#name}`);
  }

  #take(length: number): Buffer {
    const end = this.#at + length;
    if (end > this.#bytes.length) throw new LinkError("truncated", this.#name);
    const taken = this.#bytes.subarray(this.#at, end);
    this.#at = end;
    return taken;
  }

  #u8(): number {
    return this.#take(1).readUInt8(0);
  }

  #u32(): number {
    return this.#take(4).readUInt32LE(0);
  }

  #atMost(max: number): number {
    const value = this.#u8();
    if (value > max) throw new LinkError("bad-value", `${value} in ${this.#name}`);
    return value;
  }

  #found(): boolean {
    this.#absent = this.#atMost(1) === 0;
    return !this.#absent;
  }

  #s16(): string {
    return this.#text(this.#take(2).readUInt16LE(0));
  }

  #text(length: number): string {
    const bytes = this.#take(length);
    if (!isUtf8(bytes)) throw new LinkError("bad-text", this.#name);
    return bytes.toString("utf8");
  }

  #rest(): Buffer {
    return this.#take(this.#bytes.length - this.#at);
  }

  #part(): Part {
    const binary = this.#atMost(1) === 1;
    const bytes = this.#take(this.#u32());
    return { binary, bytes: binary ? bytes : checked(this.#name, this.#flags, bytes) };
  }

  /** Items are read one by one, so that a count without items costs nothing. */
  #list<Item>(item: () => Item): Item[] {
    const count = this.#take(2).readUInt16LE(0);
    const items: Item[] = [];
    while (items.length < count) items.push(item());
    return items;
  }
}

const byteLength = (value: Uint8Array | string): number =>
  typeof value === "string" ? Buffer.byteLength(value) : value.byteLength;

/** A text or bytes with more than its length can say is the caller's fault, not the peer's. */
function bounded(length: number, max: number, what: string): number {
  if (length > max) throw new RangeError(`${what} of ${length} is more than a frame can say (${max})`);
  return length;
}

const s16Bytes = (value: string): number => 2 + bounded(Buffer.byteLength(value), 0xffff, "a text");

function sizeOf(kind: Kind, value: unknown): number {
  switch (kind) {
    case "u8": case "bit": case "reason": case "movement": case "found": return 1;
    case "u16": return 2;
    case "u32": return 4;
    case "u64": return 8;
    case "s16": return s16Bytes(value as string);
    case "s32": return 4 + Buffer.byteLength(value as string);
    case "json": return 4 + Buffer.byteLength((value as Json<object>).text);
    case "texts": {
      const texts = value as readonly string[];
      bounded(texts.length, 0xffff, "a list");
      return texts.reduce((sum, text) => sum + s16Bytes(text), 2);
    }
    case "parts": {
      const parts = value as readonly Part[];
      bounded(parts.length, 0xffff, "a list");
      return parts.reduce((sum, part) => sum + 5 + byteLength(part.bytes), 2);
    }
    case "payload": case "rest": return byteLength(value as Uint8Array | string);
  }
}

/** Writes the fields of a body one behind the other into a frame that is large enough. */
class Writer {
  readonly #bytes: Buffer;
  #at = HEADER_BYTES;

  constructor(bytes: Buffer) {
    this.#bytes = bytes;
  }

  write(kind: Kind, value: unknown): void {
    switch (kind) {
      case "u8": case "bit": case "reason": case "movement": this.#u8(value as number); break;
      case "found": this.#u8(value === true ? 1 : 0); break;
      case "u16": this.#u16(value as number); break;
      case "u32": this.#u32(value as number); break;
      case "u64": this.#at = this.#bytes.writeBigUInt64LE(value as bigint, this.#at); break;
      case "s16": this.#s16(value as string); break;
      case "s32": this.#b32(value as string); break;
      case "json": this.#b32((value as Json<object>).text); break;
      case "texts": this.#list(value as readonly string[], (text) => this.#s16(text)); break;
      case "parts": this.#list(value as readonly Part[], (part) => this.#part(part)); break;
      case "payload": case "rest": this.#raw(value as Uint8Array | string); break;
    }
  }

  #u8(value: number): void {
    this.#at = this.#bytes.writeUInt8(value, this.#at);
  }

  #u16(value: number): void {
    this.#at = this.#bytes.writeUInt16LE(value, this.#at);
  }

  #u32(value: number): void {
    this.#at = this.#bytes.writeUInt32LE(value, this.#at);
  }

  #raw(value: Uint8Array | string): void {
    if (typeof value === "string") {
      this.#at += this.#bytes.write(value, this.#at, "utf8");
    } else {
      this.#bytes.set(value, this.#at);
      this.#at += value.byteLength;
    }
  }

  #s16(value: string): void {
    this.#u16(Buffer.byteLength(value));
    this.#raw(value);
  }

  #b32(value: Uint8Array | string): void {
    this.#u32(byteLength(value));
    this.#raw(value);
  }

  #part(part: Part): void {
    this.#u8(part.binary ? 1 : 0);
    this.#b32(part.bytes);
  }

  #list<Item>(items: readonly Item[], write: (item: Item) => void): void {
    this.#u16(items.length);
    for (const item of items) write(item);
  }
}

/** The bytes of a frame. Throws a `RangeError` when a field does not fit, which is never the peer's fault. */
export function encode<Name extends FrameName>(name: Name, flags: number, conn: Conn, fields: Fields<Name>): Buffer {
  const values = fields as Record<string, unknown>;
  // What there is most of.
  if (name === "SEND") return encodeSend(flags, conn, values["payload"] as Uint8Array | string);
  const kinds = writtenFields(name, values);
  const body = kinds.reduce((sum, [field, kind]) => sum + sizeOf(kind, values[field]), 0);
  const bytes = headed(name, flags, conn, body);
  const writer = new Writer(bytes);
  for (const [field, kind] of kinds) writer.write(kind, values[field]);
  return bytes;
}

/** A frame whose body of so many bytes is still to be written. */
function headed(name: FrameName, flags: number, conn: Conn, body: number): Buffer {
  bounded(body, FRAME_BODY_BYTES_MAX, "a body");
  const bytes = Buffer.allocUnsafe(HEADER_BYTES + body);
  bytes.writeUInt32LE(LEN_BYTES_MIN + body, 0);
  bytes[4] = FRAMES[name].type;
  bytes[5] = flags;
  if (typeof conn === "bigint") {
    bytes.writeBigUInt64LE(conn, 6);
  } else {
    bytes.writeUInt32LE(conn % 0x1_0000_0000, 6);
    bytes.writeUInt32LE(Math.floor(conn / 0x1_0000_0000), 10);
  }
  return bytes;
}

function encodeSend(flags: number, conn: Conn, payload: Uint8Array | string): Buffer {
  const isAsciiText = typeof payload === "string" && (flags & FLAG.ASCII) !== 0;
  const bytes = headed("SEND", flags, conn, isAsciiText ? payload.length : byteLength(payload));
  if (typeof payload === "string") bytes.write(payload, HEADER_BYTES, isAsciiText ? "latin1" : "utf8");
  else bytes.set(payload, HEADER_BYTES);
  return bytes;
}

/** All fields but those behind a `found` that is false. */
function writtenFields(name: FrameName, values: Record<string, unknown>): readonly (readonly [string, Kind])[] {
  const fields: readonly (readonly [string, Kind])[] = FRAMES[name].fields;
  const found = fields.findIndex(([, kind]) => kind === "found");
  return found >= 0 && values["found"] === false ? fields.slice(0, found + 1) : fields;
}
