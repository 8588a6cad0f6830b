// What an application asks for that not every daemon has, and what becomes of it when this one has not.
//
// Refused is what would be wrong without: clients that were to be asked and were not, packets that nobody can read. The rest is warned of.

import type { Rpc } from "./binding.js";
import { RingwayEngine } from "./engine.js";
import type { ServerInternals } from "./internals.js";
import { warnOnce } from "./warned.js";

/** An optional part of the protocol, as WELCOME names it (docs/link.md). */
export type Capability = "ackgather" | "handshake" | "hold" | "local" | "migrate" | "move" | "opaque" | "recovery";

/** The application needs a part that this daemon does not have: its clients are not served. */
export class UnsupportedError extends Error {
  override readonly name = "UnsupportedError";
  readonly code = "RINGWAY_UNSUPPORTED";
  readonly capability: Capability;

  constructor(capability: Capability, what: string) {
    super(`${what}: this daemon cannot (it lacks "${capability}")`);
    this.capability = capability;
  }
}

type Can = (capability: Capability) => boolean;

/** The first thing that the application cannot do without. */
export function refusalOf(io: ServerInternals, engine: RingwayEngine, rpc: Rpc | undefined, can: Can): UnsupportedError | undefined {
  if (io.opts.parser !== undefined && !can("opaque")) return new UnsupportedError("opaque", "a `parser` of one's own");
  // Who said `none` wants them not to be asked.
  if ((rpc ?? "none") !== "none" || (rpc === undefined && engine.isAsked)) return asking(can);
  return undefined;
}

/** What is asked before a client is let in. */
export function asking(can: Can): UnsupportedError | undefined {
  if (can("handshake")) return undefined;
  return new UnsupportedError("handshake", "`allowRequest`, `io.engine.use`, `generateId` and header hooks");
}

/** Warns, as Node does, of what will not be. */
export function warnOfMissing(io: ServerInternals, engine: RingwayEngine, can: Can): void {
  // What the daemon cannot read is kept here (kept.ts).
  if (io.opts.connectionStateRecovery && io.opts.parser === undefined && !can("recovery")) {
    warn("RINGWAY_NO_RECOVERY", "`connectionStateRecovery`: this daemon has none, a client that lost its connection starts anew");
  }
  if (engine.corsMiddleware && !can("handshake")) {
    warn("RINGWAY_NO_CORS", "`cors` with functions: this daemon does not ask, `origins.allowed` of its configuration says who may");
  }
}

/** Warns of clients that would come past the daemon, and be in none of its rooms: now, or when the server is given sockets of its own (`listen`, `attach`). */
export function warnOfSockets(io: ServerInternals): void {
  const tell = (): void =>
    warn("RINGWAY_OWN_SOCKETS", "the Server was given an http server or a port: clients that connect there, and not to the daemon, are in no room");
  if (io.httpServer !== undefined) return tell();
  const { bind } = io;
  io.bind = (engine) => {
    io.bind = bind;
    // A server that was closed may be attached again.
    if (!(engine instanceof RingwayEngine)) tell();
    return bind.call(io, engine);
  };
}

/** Warns of messages that the application wants and its clients are closed for. A daemon that does not say what it lets in is not warned of. */
export function warnOfSize(engine: RingwayEngine, payload_bytes_max = Infinity): void {
  const { maxHttpBufferSize: bytes_max } = engine.opts;
  if (typeof bytes_max !== "number" || bytes_max <= payload_bytes_max) return;
  const message =
    `\`maxHttpBufferSize\` is ${bytes_max}, and this daemon closes clients that say more than ${payload_bytes_max} bytes: ` +
    "`engine.payload_bytes_max` of its configuration, 16777216 at most";
  warnOnce("RINGWAY_PAYLOAD_BYTES", `${bytes_max} ${payload_bytes_max}`, message);
}

function warn(code: string, message: string): void {
  process.emitWarning(message, { type: "RingwayWarning", code });
}
