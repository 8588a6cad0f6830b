// What BIND says: the options of the application that the daemon acts upon for it.

import type { RingwayEngine } from "./engine.js";
import type { ServerInternals } from "./internals.js";
import type { Bind, JsonValue } from "./link/json.js";

/** What the daemon asks the worker before it lets a client in. */
export type Rpc = "none" | "handshake" | "every";

/** Options of engine.io that have a meaning at the daemon. */
const ENGINE_KEYS = [
  "pingInterval", "pingTimeout", "upgradeTimeout", "maxHttpBufferSize", "transports", "allowUpgrades", "allowEIO3", "cors",
  "cookie", "httpCompression", "perMessageDeflate",
] as const;

/** Whether a value is all JSON: a function or a RegExp in it only the worker can ask. */
export function isPlain(value: unknown): boolean {
  if (typeof value === "function" || value instanceof RegExp) return false;
  if (typeof value !== "object" || value === null) return true;
  return Object.values(value).every(isPlain);
}

/** The body of BIND as things are now. */
export function bindingOf(io: ServerInternals, engine: RingwayEngine, rpc: Rpc | undefined): Bind {
  const opts: Bind["opts"] = {};
  for (const key of ENGINE_KEYS) {
    const value = engine.opts[key];
    // What is no JSON is not said: middlewares here do it (attach.ts).
    if (value !== undefined && isPlain(value)) opts[key] = value as JsonValue;
  }
  if (io._connectTimeout !== undefined) opts["connectTimeout"] = io._connectTimeout;
  opts["serveClient"] = io.serveClient();
  const recovery = io.opts.connectionStateRecovery;
  if (recovery) opts["recovery"] = { ttl: recovery.maxDisconnectionDuration };
  return {
    path: io.path(),
    opts,
    rpc: rpc ?? (engine.isAsked || engine.corsMiddleware ? "handshake" : "none"),
    parser: io.opts.parser === undefined ? "default" : "opaque",
  };
}
