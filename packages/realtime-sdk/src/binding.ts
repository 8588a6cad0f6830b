// What BIND says: the options of the application that the daemon acts upon for it.

import { ENGINE_DEFAULTS, type RingwayEngine } from "./engine.js";
import { servesClient } from "./files.js";
import type { ServerInternals } from "./internals.js";
import type { Bind, JsonValue } from "./link/json.js";

/** What the daemon asks the worker before it lets a client in. */
export type Rpc = "none" | "handshake" | "every";

/** Options of engine.io that have a meaning at the daemon. */
const ENGINE_KEYS = [
  "pingInterval", "pingTimeout", "upgradeTimeout", "maxHttpBufferSize", "transports", "allowUpgrades", "allowEIO3",
  "httpCompression", "perMessageDeflate",
] as const;

/** Attributes of a cookie with their names in the options, in the order of RFC 6265 §4.1.1 and its successors. */
const COOKIE_ATTRIBUTES = [
  ["expires", "Expires"], ["maxAge", "Max-Age"], ["domain", "Domain"], ["path", "Path"], ["secure", "Secure"],
  ["httpOnly", "HttpOnly"], ["sameSite", "SameSite"], ["partitioned", "Partitioned"],
] as const;

/** Whether a value is all JSON: a function or a RegExp in it only the worker can ask. */
export function isPlain(value: unknown): boolean {
  if (typeof value === "function" || value instanceof RegExp) return false;
  if (typeof value !== "object" || value === null) return true;
  return Object.values(value).every(isPlain);
}

/** The cookie with the id of a new connection, as engine.io makes it; its value is the daemon's to fill in. */
function cookieOf(option: unknown): { name: string; attributes: string } {
  const given = (typeof option === "object" ? option : {}) as Record<string, unknown>;
  const cookie: Record<string, unknown> = { name: "io", path: "/", httpOnly: given["path"] !== false, sameSite: "lax", ...given };
  const attributes = COOKIE_ATTRIBUTES.map(([key, name]) => attributeOf(name, cookie[key]));
  return { name: String(cookie["name"]), attributes: attributes.join("") };
}

function attributeOf(name: string, value: unknown): string {
  if (value === undefined || value === null || value === false) return "";
  if (name === "SameSite") return `; SameSite=${capitalised(value === true ? "strict" : String(value))}`;
  if (value === true) return `; ${name}`;
  return `; ${name}=${value instanceof Date ? value.toUTCString() : String(value)}`;
}

function capitalised(word: string): string {
  return word.charAt(0).toUpperCase() + word.slice(1).toLowerCase();
}

/** The body of BIND as things are now. */
export function bindingOf(io: ServerInternals, engine: RingwayEngine, rpc: Rpc | undefined, canAsk: boolean): Bind {
  const opts: Bind["opts"] = {};
  for (const key of ENGINE_KEYS) {
    const value = engine.opts[key];
    // What is not said, or is as it is anyhow, is the operator's to say.
    if (value !== undefined && value !== ENGINE_DEFAULTS[key] && isPlain(value)) opts[key] = value as JsonValue;
  }
  const { cors, cookie } = engine.opts;
  // Functions only the worker can call: middlewares here do it (attach.ts).
  if (engine.corsMiddleware) opts["cors"] = "asked";
  else if (cors) opts["cors"] = cors as JsonValue;
  if (cookie) opts["cookie"] = cookieOf(cookie);
  const connectTimeout = io.opts["connectTimeout"];
  if (typeof connectTimeout === "number") opts["connectTimeout"] = connectTimeout;
  if (engine.hearsErrors) opts["connectionErrors"] = true;
  opts["serveClient"] = servesClient(io);
  const recovery = io.opts.connectionStateRecovery;
  // Packets that the daemon cannot read wait here (kept.ts), and so do their sockets.
  if (recovery && io.opts.parser === undefined) opts["recovery"] = { ttl: recovery.maxDisconnectionDuration };
  return {
    path: io.path(),
    opts,
    // A daemon that does not ask this worker is not told to: an application beside the main one is refused that.
    rpc: rpc ?? (canAsk && (engine.isAsked || engine.corsMiddleware) ? "handshake" : "none"),
    parser: io.opts.parser === undefined ? "default" : "opaque",
  };
}
