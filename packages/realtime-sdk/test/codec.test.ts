// The codec replays the vectors that the daemon's codec replays, at every cut.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";

import { decode, encode, FrameReader, type Side } from "../src/link/codec.js";
import { LinkError } from "../src/link/errors.js";
import { FLAG, FRAMES, type Frame, type FrameName, type Part } from "../src/link/frames.js";

type Expected = { type: FrameName; conn: string; flags: string[]; fields: Record<string, unknown> };

interface FrameVector {
  name: string;
  from: Side;
  input_hex: string;
  expect: Expected | { error: string } | { need_more: true } | { ignored: number };
}

interface StreamVector {
  name: string;
  from: Side;
  input_hex: string;
  expect: { frames: (Expected | { ignored: number })[]; error: string | null; rest_bytes?: number };
}

function vectors<Vector>(name: string): Vector[] {
  // From the working directory of `npm test`, as the compiled test lies deeper than its source.
  return JSON.parse(readFileSync(`../../tests/vectors/${name}.json`, "utf8")) as Vector[];
}

const reader = (from: Side): Side => (from === "daemon" ? "worker" : "daemon");

function plainBytes(bytes: Uint8Array | string, binary: boolean): object {
  const buffer = Buffer.from(bytes as Uint8Array);
  return binary ? { binary_hex: buffer.toString("hex") } : { text: buffer.toString() };
}

/** A frame in the words of the vectors. */
function plain(frame: Frame): Expected {
  const { name, flags, conn, ...values } = frame;
  const fields: Record<string, unknown> = {};
  for (const [field, kind] of FRAMES[name].fields) {
    const value = (values as Record<string, unknown>)[field];
    if (kind === "json") fields[field] = (value as { value: unknown }).value;
    else if (kind === "u64") fields[field] = String(value);
    else if (kind === "parts") fields[field] = (value as Part[]).map((part) => plainBytes(part.bytes, part.binary));
    else if (field === "payload") fields[field] = plainBytes(value as Buffer, (flags & FLAG.BINARY) !== 0);
    else if (field === "opaque") fields["opaque_hex"] = (value as Buffer).toString("hex");
    else if (field === "namespace") fields["name"] = value;
    else fields[field] = value;
    if (value === false) break;
  }
  const names = Object.entries(FLAG).filter(([flag, bit]) => (flags & bit) !== 0 && flag !== (name === "SEND" ? "REMOVED" : "REST")).map(([flag]) => flag);
  return { type: name, conn: String(conn), flags: names, fields };
}

/** What comes of a stream that arrives in these chunks. */
function replay(chunks: Buffer[], from: Side): { frames: object[]; error: string | null; decoded: Frame[] } {
  const frames = new FrameReader();
  const out: object[] = [];
  const decoded: Frame[] = [];
  try {
    for (const chunk of chunks) {
      frames.push(chunk);
      for (let raw = frames.next(); raw; raw = frames.next()) {
        const frame = decode(raw, reader(from));
        out.push(frame ? plain(frame) : { ignored: raw.type });
        if (frame) decoded.push(frame);
      }
    }
  } catch (error) {
    assert.ok(error instanceof LinkError, String(error));
    return { frames: out, error: error.code, decoded };
  }
  return { frames: out, error: null, decoded };
}

/** Only the keys that a vector names: it leaves out keys that nobody knows. */
function known(value: unknown, like: unknown): unknown {
  if (typeof like !== "object" || like === null || Array.isArray(like)) return value;
  return Object.fromEntries(Object.entries(like).map(([key, item]) => [key, known((value as Record<string, unknown>)[key], item)]));
}

test("link-frames.json: each frame", () => {
  const all = vectors<FrameVector>("link-frames");
  assert.ok(all.length > 300);
  for (const { name, from, input_hex, expect } of all) {
    const input = Buffer.from(input_hex, "hex");
    const { frames, error, decoded } = replay([input], from);
    if ("error" in expect) {
      assert.deepEqual([frames, error], [[], expect.error], name);
    } else if ("need_more" in expect) {
      assert.deepEqual([frames, error], [[], null], name);
    } else {
      assert.equal(error, null, `${name}: ${error}`);
      assert.deepEqual(known(frames[0], expect), expect, name);
      const [frame] = decoded;
      if (frame) assert.equal(encode(frame.name, frame.flags, frame.conn, frame as never).toString("hex"), input_hex, `${name}, written again`);
    }
  }
});

test("link-streams.json: at every cut, and byte by byte", () => {
  for (const { name, from, input_hex, expect } of vectors<StreamVector>("link-streams")) {
    const input = Buffer.from(input_hex, "hex");
    const check = (chunks: Buffer[], how: string): void => {
      const { frames, error } = replay(chunks, from);
      assert.deepEqual(known({ frames, error }, { frames: expect.frames, error: expect.error }), { frames: expect.frames, error: expect.error }, `${name}, ${how}`);
    };
    for (let at = 0; at <= input.length; at += 1) check([input.subarray(0, at), input.subarray(at)], `cut at ${at}`);
    check([...input].map((byte) => Buffer.of(byte)), "byte by byte");
  }
});

test("what does not fit into a frame is the caller's fault", () => {
  assert.throws(() => encode("NSP", 0, 0, { namespace: "x".repeat(0x1_0000) }), RangeError);
  assert.throws(() => encode("JOIN", 0, 1, { nsp: 0, rooms: new Array<string>(0x1_0000).fill("") }), RangeError);
  assert.throws(() => encode("SEND", 0, 1, { payload: Buffer.alloc((16 << 20) + 1) }), RangeError);
});
