// The one line of a Socket.IO application: its server is given an engine whose sockets the daemon owns, and an adapter whose
// rooms it keeps.

import { randomUUID } from "node:crypto";

import { createAdapterClass } from "./adapter.js";
import { adapterModuleOf, dependencyOf } from "./application.js";
import { isPlain, type Rpc } from "./binding.js";
import { leanDecoder } from "./decoder.js";
import type { EngineMiddleware } from "./engine.js";
import type { ServerInternals } from "./internals.js";
import { warnOfSockets } from "./needs.js";
import { Ringway, type OnClose } from "./worker.js";

/** A Socket.IO server of 4.7 or later, whichever copy of socket.io it is from. */
export interface SocketIoServer {
  of(name: string): { readonly name: string };
  path(): string;
  close(done?: (error?: Error) => void): Promise<void>;
}

/** How a server joins the daemon. */
export interface RingwayOptions {
  /** Where the daemon listens for workers: `unix:PATH` or `tcp://host:port`. */
  url: string;
  /** What both sides prove over TCP that they know: 16 bytes at least. Not used over a Unix socket. */
  secret?: string | Uint8Array;
  /**
   * The application; workers of the same one share clients. Which ones there are beside the main one, and which namespaces are theirs, the
   * daemon's configuration says (`link.applications`); they are not asked about requests, and have no `parser`. @defaultValue `"default"`
   */
  app?: string;
  /** What people call this worker. */
  name?: string;
  /** How many clients this worker takes in comparison with others. */
  weight?: number;
  /**
   * What `io.close()` means to the clients: `keep` holds them until another worker comes, and they notice nothing; `migrate` is the
   * same, but first they go to the other workers, some at a time; `close` closes them. @defaultValue `"keep"`
   */
  onClose?: OnClose;
  /**
   * What the daemon asks here before it lets a client in. By default `handshake` if the application has functions for that
   * (`allowRequest`, `engine.use`, a `cors` function, header hooks, `generateId`), else `none`; `every` asks for each poll. A daemon that cannot ask is an `UnsupportedError`, unless this is `none`.
   */
  rpc?: Rpc;
  /** A file of the application from which its socket.io is found, when neither the main file nor the working directory leads to it. */
  resolveFrom?: string;
  /** Bounds; each has a default. */
  bounds?: RingwayBounds;
}

/** Bounds of a link. */
export interface RingwayBounds {
  /** The first waiting time before the link is tried again. @defaultValue 50 */
  retry_ms_min?: number;
  /** The longest one. @defaultValue 5000 */
  retry_ms_max?: number;
  /** Between two PINGs; three without an answer end the link. @defaultValue 5000 */
  ping_ms?: number;
  /** For connecting and the handshake. @defaultValue 10000 */
  handshake_ms?: number;
  /** What may wait for the daemon before broadcasts are dropped (`fault`, `queue-full`); at twice as much the session, and with it the clients, is given up. @defaultValue 64 MiB */
  queue_bytes_max?: number;
  /** For clients to go to other workers before `io.close()`, with `onClose: "migrate"`. @defaultValue 10000 */
  drain_ms?: number;
  /**
   * Handlers of NestJS that one client may have running at once, its values and promises that are not there yet. Then no more is received from it until half of
   * them are done; others go on. @defaultValue 1000
   */
  handlers_max?: number;
  /**
   * The same of all clients of this worker together: a client that begins one more waits until all of its own are done, or half of this number; others go on.
   * Those of a client that is gone count for a minute. `fault` says `handlers-full` when it begins, and `handlers-free` when it is over. @defaultValue 100000
   */
  worker_handlers_max?: number;
}

/**
 * Joins a Socket.IO server to a Ringway daemon, which owns the sockets of its clients.
 *
 * @example
 * ```ts
 * const io = new Server();
 * attachRingway(io, { url: "unix:/run/ringway/link.sock" });
 * io.on("connection", (socket) => socket.join("news"));
 * ```
 */
export function attachRingway(io: SocketIoServer, options: RingwayOptions): Ringway {
  const ringway = joinRingway(io, options);
  ringway.start();
  return ringway;
}

/** @internal As {@link attachRingway}, but the daemon is looked for when `start` is called: not before the application is ready. */
export function joinRingway(io: SocketIoServer, options: RingwayOptions): Ringway {
  const server = io as unknown as ServerInternals;
  const { bounds = {} } = options;
  const module = adapterModuleOf(server, options.resolveFrom);
  const ringway = new Ringway(server, {
    url: options.url,
    app: options.app ?? "default",
    instance: randomUUID(),
    backoff: { min_ms: bounds.retry_ms_min ?? 50, max_ms: bounds.retry_ms_max ?? 5_000 },
    ping_ms: bounds.ping_ms ?? 5_000,
    handshake_ms: bounds.handshake_ms ?? 10_000,
    queue_bytes_max: bounds.queue_bytes_max ?? 64 << 20,
    onClose: options.onClose ?? "keep",
    drain_ms: bounds.drain_ms ?? 10_000,
    handlers_max: bounds.handlers_max ?? 1_000,
    worker_handlers_max: bounds.worker_handlers_max ?? 100_000,
    ...(options.secret === undefined ? {} : { secret: Buffer.from(options.secret as string) }),
    ...(options.name === undefined ? {} : { name: options.name }),
    ...(options.weight === undefined ? {} : { weight: options.weight }),
    ...(options.rpc === undefined ? {} : { rpc: options.rpc }),
  });
  addCors(ringway, options.resolveFrom);
  if (server.opts.parser === undefined) server._parser = { ...server._parser, Decoder: leanDecoder(server._parser.Decoder) };
  server.adapter(createAdapterClass(module, ringway.host));
  server.bind(ringway.engine);
  warnOfSockets(server);
  closeWith(server, ringway);
  return ringway;
}

/** Whether the daemon can act upon a `cors` by itself: not with functions, nor where preflights have another status than its own. */
function isDaemons(cors: object): boolean {
  const { optionsSuccessStatus: status = 204 } = cors as { optionsSuccessStatus?: unknown };
  return isPlain(cors) && status === 204;
}

/** A `cors` that the daemon cannot act upon runs here, as engine.io runs it. */
function addCors(ringway: Ringway, resolveFrom: string | undefined): void {
  const { cors } = ringway.engine.opts;
  if (!cors || isDaemons(cors)) return;
  const load = dependencyOf(resolveFrom, "cors") as ((options: unknown) => EngineMiddleware) | undefined;
  if (load === undefined) throw new Error("`cors` is for the application to answer, and the package cors of socket.io was not found");
  ringway.engine.corsMiddleware = load(cors);
}

/** The sockets are closed before the engine hears of it: the adapter must know what for. */
function closeWith(server: ServerInternals, ringway: Ringway): void {
  const close = server.close.bind(server);
  server.close = async (done) => {
    if (ringway.migrates) await ringway.drain();
    const heard = ringway.hold();
    if (ringway.keeps) await heard;
    ringway.prepareStop();
    // It is given, and not thrown, as socket.io does it: an http server of one's own that was not running, say.
    let failure: Error | undefined;
    await close((error) => { failure = error; });
    await ringway.close();
    done?.(failure);
  };
}
