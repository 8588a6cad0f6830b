// The emitter that socket.io documents for other processes, over a link of its own: a process that says something to clients and serves none.

import type { LinkError } from "../link/errors.js";
import type { RingwayBounds } from "../attach.js";
import { Publisher, type EventFlags, type Target } from "./publisher.js";
import type { EmitterEncoder } from "./packet.js";

/** How an emitter finds the daemon. */
export interface EmitterOptions {
  /** Where the daemon listens for workers: `unix:PATH` or `tcp://host:port`. */
  url: string;
  /** What both sides prove over TCP that they know: 16 bytes at least. Not used over a Unix socket. */
  secret?: string | Uint8Array;
  /** The application: its clients and workers are reached, in its namespaces, and no others. @defaultValue `"default"` */
  app?: string;
  /** What people call this process. */
  name?: string;
  /** The `parser` of the application's servers, if it has one of its own. */
  parser?: { Encoder: new () => EmitterEncoder };
  /** Bounds; each has a default. `queue_bytes_max`, what may wait for the daemon, is 4 MiB. */
  bounds?: RingwayBounds;
  /**
   * Is told what went wrong, by its name: `queue-full` when something was dropped, `unsure` when a link was lost with something on the way, `not-allowed` when the daemon
   * refused something. By default it is a warning of the process.
   */
  onError?: (error: LinkError) => void;
}

/** Events and their listeners; anything if nothing else is said. */
export interface AnyEvents {
  [event: string]: (...args: unknown[]) => void;
}

/** What an event's listener takes. */
export type EventArguments<Events extends object, Event extends keyof Events> =
  Events[Event] extends (...args: infer Args) => unknown ? Args : never;

/** One room or several. */
export type Rooms = string | readonly string[];

/** Names of events that mean something else, as socket.io has them. */
const RESERVED: ReadonlySet<string> = new Set(["connect", "connect_error", "disconnect", "disconnecting", "newListener", "removeListener"]);

const QUEUE_BYTES_MAX = 4 << 20;

function listOf(rooms: Rooms): string[] {
  return (typeof rooms === "string" ? [rooms] : [...rooms]).map(String);
}

function checkArguments(args: readonly unknown[]): void {
  if (typeof args.at(-1) === "function") throw new Error("Acknowledgements are not supported");
}

/** Chosen clients of a namespace. Each method but the last one of a chain gives another operator. */
export class BroadcastOperator<Emitted extends object = AnyEvents> {
  readonly #publisher: Publisher;
  readonly #nsp: string;
  readonly #target: Target;
  readonly #flags: EventFlags;

  /** @internal */
  constructor(publisher: Publisher, nsp: string, target: Target = { rooms: [], except: [] }, flags: EventFlags = {}) {
    this.#publisher = publisher;
    this.#nsp = nsp;
    this.#target = target;
    this.#flags = flags;
  }

  /** Those in one of these rooms, too. */
  to(rooms: Rooms): BroadcastOperator<Emitted> {
    return this.#with({ rooms: [...new Set([...this.#target.rooms, ...listOf(rooms)])] }, {});
  }

  /** As {@link to}. */
  in(rooms: Rooms): BroadcastOperator<Emitted> {
    return this.to(rooms);
  }

  /** But none that is in one of these. */
  except(rooms: Rooms): BroadcastOperator<Emitted> {
    return this.#with({ except: [...new Set([...this.#target.except, ...listOf(rooms)])] }, {});
  }

  /** Whether it is worth compressing. */
  compress(compress: boolean): BroadcastOperator<Emitted> {
    return this.#with({}, { compress });
  }

  /** Clients that are not ready lose it. */
  get volatile(): BroadcastOperator<Emitted> {
    return this.#with({}, { volatile: true });
  }

  /** Emits to the chosen clients of all workers. */
  emit<Event extends keyof Emitted & string>(event: Event, ...args: EventArguments<Emitted, Event>): true {
    if (RESERVED.has(event)) throw new Error(`"${event}" is a reserved event name`);
    checkArguments(args);
    this.#publisher.event(this.#nsp, this.#target, this.#flags, [event, ...args]);
    return true;
  }

  /** Puts the chosen clients into rooms: what is emitted behind it reaches them there. */
  socketsJoin(rooms: Rooms): void {
    this.#publisher.move(this.#nsp, { type: "SOCKETS_JOIN", data: { opts: this.#target, rooms: listOf(rooms) } });
  }

  /** Takes the chosen clients out of rooms, as {@link socketsJoin} puts them in. */
  socketsLeave(rooms: Rooms): void {
    this.#publisher.move(this.#nsp, { type: "SOCKETS_LEAVE", data: { opts: this.#target, rooms: listOf(rooms) } });
  }

  /** Disconnects the chosen clients from the namespace or, with `close`, altogether. */
  disconnectSockets(close = false): void {
    this.#publisher.move(this.#nsp, { type: "DISCONNECT_SOCKETS", data: { opts: this.#target, close } });
  }

  #with(target: Partial<Target>, flags: EventFlags): BroadcastOperator<Emitted> {
    return new BroadcastOperator(this.#publisher, this.#nsp, { ...this.#target, ...target }, { ...this.#flags, ...flags });
  }
}

/** All clients of a namespace. */
export class Emitter<Emitted extends object = AnyEvents, ServerSide extends object = AnyEvents> {
  /** Resolved when the daemon is there for the first time. What is said before waits. */
  readonly ready: Promise<void>;
  readonly #publisher: Publisher;
  readonly #nsp: string;

  /** @internal */
  constructor(publisher: Publisher, nsp = "/") {
    this.#publisher = publisher;
    this.#nsp = nsp;
    this.ready = publisher.ready;
  }

  /** The same for another namespace. */
  of(nsp: string): Emitter<Emitted, ServerSide> {
    return new Emitter(this.#publisher, nsp.startsWith("/") ? nsp : `/${nsp}`);
  }

  /** Emits to all clients. */
  emit<Event extends keyof Emitted & string>(event: Event, ...args: EventArguments<Emitted, Event>): true {
    return this.#all().emit(event, ...args);
  }

  /** Those in one of these rooms. */
  to(rooms: Rooms): BroadcastOperator<Emitted> {
    return this.#all().to(rooms);
  }

  /** As {@link to}. */
  in(rooms: Rooms): BroadcastOperator<Emitted> {
    return this.#all().in(rooms);
  }

  /** None that is in one of these. */
  except(rooms: Rooms): BroadcastOperator<Emitted> {
    return this.#all().except(rooms);
  }

  /** Whether it is worth compressing. */
  compress(compress: boolean): BroadcastOperator<Emitted> {
    return this.#all().compress(compress);
  }

  /** Clients that are not ready lose it. */
  get volatile(): BroadcastOperator<Emitted> {
    return this.#all().volatile;
  }

  /** As {@link BroadcastOperator.socketsJoin}. */
  socketsJoin(rooms: Rooms): void {
    this.#all().socketsJoin(rooms);
  }

  /** As {@link BroadcastOperator.socketsLeave}. */
  socketsLeave(rooms: Rooms): void {
    this.#all().socketsLeave(rooms);
  }

  /** As {@link BroadcastOperator.disconnectSockets}. */
  disconnectSockets(close = false): void {
    this.#all().disconnectSockets(close);
  }

  /** Emits to the servers, `io.on(event)` there, and not to their clients. */
  serverSideEmit<Event extends keyof ServerSide & string>(event: Event, ...args: EventArguments<ServerSide, Event>): void {
    checkArguments(args);
    this.#publisher.order(this.#nsp, { type: "SERVER_SIDE_EMIT", data: { packet: [event, ...args] } });
  }

  /** Leaves the daemon behind all that was said, with all emitters of the same `createEmitter`. */
  close(): Promise<void> {
    return this.#publisher.close();
  }

  #all(): BroadcastOperator<Emitted> {
    return new BroadcastOperator(this.#publisher, this.#nsp);
  }
}

/**
 * An emitter: it speaks to the clients of an application's workers from a process that is none of them.
 *
 * @example
 * ```ts
 * const emitter = createEmitter({ url: "unix:/run/ringway/link.sock" });
 * emitter.to("orders").emit("shipped", 17);
 * ```
 */
export function createEmitter<Emitted extends object = AnyEvents, ServerSide extends object = AnyEvents>(
  options: EmitterOptions,
): Emitter<Emitted, ServerSide> {
  const { bounds = {}, parser } = options;
  return new Emitter(new Publisher({
    url: options.url,
    app: options.app ?? "default",
    backoff: { min_ms: bounds.retry_ms_min ?? 50, max_ms: bounds.retry_ms_max ?? 5_000 },
    ping_ms: bounds.ping_ms ?? 5_000,
    handshake_ms: bounds.handshake_ms ?? 10_000,
    queue_bytes_max: bounds.queue_bytes_max ?? QUEUE_BYTES_MAX,
    onError: options.onError ?? warn,
    ...(options.secret === undefined ? {} : { secret: Buffer.from(options.secret as string) }),
    ...(options.name === undefined ? {} : { name: options.name }),
    ...(parser === undefined ? {} : { encoder: new parser.Encoder() }),
  }));
}

function warn(error: LinkError): void {
  process.emitWarning(error.message, { type: "RingwayWarning", code: "RINGWAY_EMITTER" });
}
