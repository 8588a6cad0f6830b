// JSON bodies of frames: which known keys they have and of what type. Unknown keys are passed over.

import { LinkError } from "./errors.js";

/** What JSON can say. */
export type JsonValue = string | number | boolean | null | JsonValue[] | { [key: string]: JsonValue };

/** A JSON object with its text, as a proof is over the bytes that were sent and not over what they mean. */
export interface Json<Body> {
  readonly text: string;
  readonly value: Body;
}

/** The body with the text that goes on the wire. */
export function json<Body extends object>(value: Body): Json<Body> {
  return { text: JSON.stringify(value), value };
}

/** Body of CHALLENGE. */
export interface Challenge {
  proto: [number, number];
  nonce: string;
  epoch: string;
}

/** Body of HELLO. */
export interface Hello {
  proto: [number, number];
  app: string;
  instance: string;
  role: string;
  nonce: string;
  name?: string;
  weight?: number;
  resume?: { epoch: string; received: number };
  caps?: string[];
}

/** Body of WELCOME. */
export interface Welcome {
  proto: [number, number];
  epoch: string;
  resumed: boolean;
  received: number;
  window: { frames: number; bytes: number };
  hold_ms: number;
  grace_ms: number;
  caps: string[];
  native?: string[];
  payload_bytes_max?: number;
}

/** Body of BIND. */
export interface Bind {
  path: string;
  opts: { [key: string]: JsonValue };
  rpc: string;
  parser: string;
  namespaces?: string[];
}

/** What becomes of the clients when a side goes. */
const GOAWAY_MODES = ["keep", "close", "migrate"] as const;

/** Body of GOAWAY. */
export interface Goaway {
  mode: (typeof GOAWAY_MODES)[number];
  reason: string;
  deadline_ms: number;
}

/** Body of OPEN: a client and the request that it came with. */
export interface Open {
  sid: string;
  proto: number;
  transport: string;
  address: string;
  secure: boolean;
  method: string;
  url: string;
  headers: [string, string][];
}

/** A namespace in which a resumed client is connected. */
export interface ResumedSocket {
  nsp: string;
  sid: string;
  pid?: string;
  rooms: string[];
  auth?: JsonValue;
  data?: JsonValue;
}

/** Body of RESUME. */
export interface Resume extends Open {
  sockets: ResumedSocket[];
}

/** The JSON of HS_REQ. */
export interface HandshakeRequest {
  method: string;
  url: string;
  headers: [string, string][];
  address: string;
  secure: boolean;
  sid?: string;
}

/** The JSON of HS_RES. */
export interface HandshakeResponse {
  ok: boolean;
  headers?: [string, string][];
  sid?: string;
  status?: number;
  body?: string;
  code?: number;
  context?: { [key: string]: JsonValue };
}

/** Body of CONN_ERROR. */
export interface ConnError {
  code: number;
  message: string;
  context: { [key: string]: JsonValue };
  method: string;
  url: string;
  headers: [string, string][];
}

/** The bodies by their frames. */
export interface JsonBodies {
  CHALLENGE: Challenge;
  HELLO: Hello;
  WELCOME: Welcome;
  BIND: Bind;
  GOAWAY: Goaway;
  OPEN: Open;
  RESUME: Resume;
  HS_REQ: HandshakeRequest;
  HS_RES: HandshakeResponse;
  CONN_ERROR: ConnError;
}

type Check = (value: unknown) => boolean;

const text: Check = (value) => typeof value === "string";
const bool: Check = (value) => typeof value === "boolean";
const count: Check = (value) => Number.isSafeInteger(value) && (value as number) >= 0;
const anything: Check = () => true;
const object: Check = (value) => typeof value === "object" && value !== null && !Array.isArray(value);
const list = (item: Check): Check => (value) => Array.isArray(value) && value.every(item);
const pair = (item: Check): Check => (value) => list(item)(value) && (value as unknown[]).length === 2;
const shape = (required: Record<string, Check>, optional: Record<string, Check> = {}): Check => (value) => {
  if (!object(value)) return false;
  const body = value as Record<string, unknown>;
  const has = (key: string): boolean => Object.hasOwn(body, key);
  return (
    Object.entries(required).every(([key, check]) => has(key) && check(body[key])) &&
    Object.entries(optional).every(([key, check]) => !has(key) || check(body[key]))
  );
};

const request = { method: text, url: text, headers: list(pair(text)) };
const open = { ...request, sid: text, proto: count, transport: text, address: text, secure: bool };
const resumed = shape({ nsp: text, sid: text, rooms: list(text) }, { pid: text, auth: anything, data: anything });

const CHECKS: Record<keyof JsonBodies, Check> = {
  CHALLENGE: shape({ proto: pair(count), nonce: text, epoch: text }),
  HELLO: shape(
    { proto: pair(count), app: text, instance: text, role: text, nonce: text },
    { name: text, weight: count, resume: shape({ epoch: text, received: count }), caps: list(text) },
  ),
  WELCOME: shape({
    proto: pair(count),
    epoch: text,
    resumed: bool,
    received: count,
    window: shape({ frames: count, bytes: count }),
    hold_ms: count,
    grace_ms: count,
    caps: list(text),
  }, { native: list(text), payload_bytes_max: count }),
  BIND: shape({ path: text, opts: object, rpc: text, parser: text }, { namespaces: list(text) }),
  GOAWAY: shape({ mode: (value) => GOAWAY_MODES.includes(value as Goaway["mode"]), reason: text, deadline_ms: count }),
  OPEN: shape(open),
  RESUME: shape({ ...open, sockets: list(resumed) }),
  HS_REQ: shape({ ...request, address: text, secure: bool }, { sid: text }),
  HS_RES: shape(
    { ok: bool },
    { headers: list(pair(text)), sid: text, status: count, body: text, code: count, context: object },
  ),
  CONN_ERROR: shape({ ...request, code: count, message: text, context: object }),
};

/** The object that a frame's JSON is; throws `bad-json` when it is none, or a key of it has another type. */
export function parseJson<Name extends keyof JsonBodies>(name: Name, source: string): Json<JsonBodies[Name]> {
  let value: unknown;
  try {
    value = JSON.parse(source);
  } catch {
    throw new LinkError("bad-json", `${name} is not JSON`);
  }
  if (!CHECKS[name](value)) throw new LinkError("bad-json", `${name} lacks a key, or has one of another type`);
  return { text: source, value: value as JsonBodies[Name] };
}
