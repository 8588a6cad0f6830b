// A worker: one Socket.IO server behind one link, and what happens to it when the link comes and goes.

import { EventEmitter } from "node:events";

import type { AdapterHost } from "./adapter.js";
import { aside } from "./aside.js";
import { bindingOf, type Rpc } from "./binding.js";
import type { VirtualConnection } from "./connection.js";
import { Connections, type HandlerBounds } from "./connections.js";
import { RingwayEngine } from "./engine.js";
import type { ServerInternals } from "./internals.js";
import type { LinkError } from "./link/errors.js";
import type { Conn, Fields, Frame, FrameName } from "./link/frames.js";
import { json } from "./link/json.js";
import { Link, type LinkHandler, type LinkOptions } from "./link/link.js";
import { Namespaces } from "./namespaces.js";
import { asking, refusalOf, UnsupportedError, warnOfMissing, warnOfSize, type Capability } from "./needs.js";
import { Warned } from "./warned.js";

/** How long a worker that stops waits for what it said to be taken. */
const STOP_MS_MAX = 2_000;
/** And before that for middlewares behind which there is what a client said. */
const HELD_MS_MAX = 2_000;

/** What a worker tells about its link. */
export interface RingwayEvents {
  /** The daemon is there; `resumed`: nothing was lost. */
  open: [resumed: boolean];
  /** The link broke. It is tried again, and clients notice nothing if it comes back in time. */
  down: [cause: Error];
  /** There is no link, be it that there never was one; it is tried again behind so many milliseconds. */
  retry: [cause: Error, delay_ms: number];
  /** It did not come back in time: the clients of this worker are gone. */
  lost: [cause: Error];
  /** Something was wrong, by its name. Where nobody listens it is a warning of the process, once in a while. */
  fault: [error: LinkError];
  /** The application needs what this daemon does not have. It has left; as any `error` that nobody listens to, it is thrown. */
  error: [error: UnsupportedError];
  /** The daemon is about to go, or wants this worker to. */
  goaway: [goaway: { mode: string; reason: string; deadline_ms: number }];
}

/** What a worker is made of. */
export interface WorkerOptions extends LinkOptions, HandlerBounds {
  readonly rpc?: Rpc;
  /** What `io.close()` means to the clients. */
  readonly onClose: OnClose;
  /** How long clients may take to go to other workers, unless it is said. */
  readonly drain_ms: number;
}

/** What `io.close()` means to the clients. */
export type OnClose = "keep" | "close" | "migrate";

/** What became of a worker's clients. */
export interface Drained {
  /** They went to other workers. */
  readonly moved: number;
  /** They are still here: there was no other worker, or the time was over. */
  readonly left: number;
}

/** A server that is attached to a daemon. */
export class Ringway extends EventEmitter<RingwayEvents> {
  /** What `io.engine` is now. */
  readonly engine: RingwayEngine;
  /** Resolved when the daemon has heard for the first time what this server is; rejected when it lacks what the application needs. */
  readonly ready: Promise<void>;
  /** @internal */
  readonly host: AdapterHost;
  readonly #io: ServerInternals;
  readonly #options: WorkerOptions;
  readonly #link: Link;
  readonly #connections: Connections;
  readonly #namespaces: Namespaces;
  #stopping: "keep" | "close" | undefined;
  #stopped: Promise<void> | undefined;
  #draining: { by_ms: number; done: Promise<Drained>; finish: () => void } | undefined;
  #isBindDue = false;
  readonly #warned = new Warned();
  #reject: (error: Error) => void = () => {};

  /** @internal */
  constructor(io: ServerInternals, options: WorkerOptions) {
    super();
    this.#io = io;
    this.#options = options;
    this.ready = new Promise((resolve, reject) => {
      this.once("open", () => resolve());
      this.#reject = reject;
    });
    // Whoever does not wait for it hears of the `error`.
    this.ready.catch(() => {});
    const handler: LinkHandler = {
      opened: (resumed) => this.#opened(resumed),
      down: (cause) => this.#tell("down", cause),
      retrying: (cause, delay_ms) => this.#tell("retry", cause, delay_ms),
      lost: (cause) => this.#lost(cause),
      frame: (frame) => this.#receive(frame),
      writable: () => this.#connections.drain(),
      fault: (error) => this.#fault(error),
    };
    const link = new Link(options, handler);
    this.#link = link;
    this.engine = new RingwayEngine({ ...io.opts, path: io.opts["path"] || io.path() }, () => this.#ask(), () => this.#bindSoon(), () => void this.close());
    const connectionOf = (conn: Conn): VirtualConnection | undefined => this.#connections.get(conn);
    this.#namespaces = new Namespaces(options.instance, link, connectionOf);
    const saveData = (connection: VirtualConnection): void => this.#namespaces.saveData(connection);
    this.#connections = new Connections(this.engine, io, link, saveData, options, (error) => this.#fault(error));
    const stopping = (): "keep" | "close" | undefined => this.#stopping;
    this.host = {
      instance: options.instance,
      namespaces: this.#namespaces,
      get hasSession() { return link.hasSession; },
      get isWritable() { return link.isWritable; },
      parsesText: io.opts.parser === undefined,
      can: this.#can,
      connectionOf,
      overheard: this.#connections.overheard,
      get stopping() { return stopping(); },
      flushOthers: () => link.flushOthers(),
      send: <Name extends FrameName>(name: Name, flags: number, conn: Conn, fields: Fields<Name>) =>
        link.send(name, flags, conn, fields),
    };
  }

  /** @internal */
  start(): void {
    this.#link.start();
  }

  /** @internal `io.close()` is about to close the sockets. */
  prepareStop(): void {
    this.#stopping ??= this.#options.onClose === "close" ? "close" : "keep";
  }

  /**
   * @internal It is to close them: what clients say from here on is for the next worker. What they said before is dealt with, and nobody else's, so that
   * it is to reach its handlers: resolved when it has.
   */
  async hold(): Promise<void> {
    this.#link.hold();
    await this.#connections.heard(HELD_MS_MAX);
    // What came in this turn of the event loop Socket.IO hands on in this turn.
    await new Promise((resolve) => { setImmediate(resolve); });
  }

  /** @internal Whether `io.close()` leaves the clients to other workers, now or later. Those that are closed say no more, as with socket.io. */
  get keeps(): boolean {
    return this.#options.onClose !== "close";
  }

  /** @internal Whether `io.close()` gives the clients to other workers first. */
  get migrates(): boolean {
    return this.#options.onClose === "migrate" && this.#stopping === undefined;
  }

  /**
   * Gives this worker's clients to the others, some at a time: they keep their connections, ids and rooms, and `socket.data` as it is
   * by then. No more come. Resolved when all have gone or the time is over; at once when there is no other worker, whose clients
   * `io.close()` then leaves for the next one.
   */
  drain({ deadline_ms = this.#options.drain_ms }: { deadline_ms?: number } = {}): Promise<Drained> {
    if (this.#draining) return this.#draining.done;
    const before = this.#connections.handedOver;
    const outcome = (): Drained => ({ moved: this.#connections.handedOver - before, left: this.engine.clientsCount });
    if (!this.#link.hasSession || !this.#can("migrate") || this.#stopping) return Promise.resolve(outcome());
    let finish = (): void => {};
    const done = new Promise<Drained>((resolve) => {
      const timer = setTimeout(() => finish(), deadline_ms);
      finish = () => {
        clearTimeout(timer);
        this.#connections.onEmpty = undefined;
        resolve(outcome());
      };
    });
    this.#draining = { by_ms: performance.now() + deadline_ms, done, finish };
    this.#connections.onEmpty = finish;
    this.#leave();
    if (this.engine.clientsCount === 0) finish();
    return done;
  }

  /** Leaves the daemon, behind all that was said; resolved when it is done. `io.close()` does it too. */
  close(): Promise<void> {
    this.#stopping ??= "close";
    if (this.#stopped === undefined) {
      this.#stopped = this.#link.stop({ mode: this.#stopping, reason: "server shutting down", deadline_ms: STOP_MS_MAX });
      this.#namespaces.lose();
      // Timers of clients end with their connections.
      this.#connections.endAll("forced close");
    }
    return this.#stopped;
  }

  #opened(resumed: boolean): void {
    this.#leave();
    if (!resumed) {
      const refusal = refusalOf(this.#io, this.engine, this.#options.rpc, this.#can);
      if (refusal) return this.#refuse(refusal);
      warnOfMissing(this.#io, this.engine, this.#can);
      warnOfSize(this.engine, this.#link.payload_bytes_max);
      this.#bind();
      this.#namespaces.announce();
      // Not before the daemon acts upon that: whoever comes then is asked about.
      return this.#link.whenHeard(() => this.#tell("open", false));
    }
    this.#tell("open", true);
  }

  /** Whoever drains says so on each link: what was said on one that was cut may not have come. */
  #leave(): void {
    if (!this.#draining) return;
    const deadline_ms = Math.max(0, Math.ceil(this.#draining.by_ms - performance.now()));
    this.#link.announce({ mode: "migrate", reason: "the worker leaves", deadline_ms });
  }

  readonly #can = (capability: Capability): boolean => this.#link.can(capability);

  /** Leaves before it has a client; those that wait are for workers that can. */
  #refuse(error: UnsupportedError): void {
    this.#stopping ??= "keep";
    void this.close();
    this.#reject(error);
    process.nextTick(() => this.emit("error", error));
  }

  #lost(cause: Error): void {
    this.#namespaces.lose();
    this.#connections.endAll("transport close");
    this.#tell("lost", cause);
  }

  #fault(error: LinkError): void {
    if (this.listenerCount("fault") > 0) this.#tell("fault", error);
    else this.#warned.tell(error);
  }

  /** The link has more to do than to tell. */
  #tell<Name extends keyof RingwayEvents>(name: Name, ...values: RingwayEvents[Name]): void {
    aside(() => void (this as EventEmitter).emit(name, ...values));
  }

  #receive(frame: Frame): void {
    switch (frame.name) {
      case "GOAWAY": {
        // There is no other worker.
        if (frame.json.value.mode === "keep") this.#draining?.finish();
        return this.#tell("goaway", frame.json.value);
      }
      case "PEERS": case "BUS": case "MOVED": case "BCAST_COUNT": case "BCAST_REPLY": case "SESSION_RES":
        return this.#namespaces.receive(frame);
      case "OPEN": case "RESUME": case "DATA": case "CLOSE": case "TRANSPORT": case "PRESSURE": case "HS_REQ":
      case "CONN_ERROR": case "MIGRATE_OUT":
        return this.#connections.receive(frame);
      default:
        // The codec lets through only what the daemon may send, and the link keeps its own.
        throw new Error(`${frame.name} has no receiver`);
    }
  }

  #bind(): void {
    this.#isBindDue = false;
    this.#link.send("BIND", 0, 0, { json: json(bindingOf(this.#io, this.engine, this.#options.rpc, this.#can("handshake"))) });
  }

  /** The application has one more thing to be asked. */
  #ask(): void {
    if (!this.#link?.hasSession) return;
    const refusal = this.#options.rpc === undefined ? asking(this.#can) : undefined;
    if (refusal) throw refusal;
    this.#bindSoon();
  }

  /** Middlewares and listeners are added one behind the other: one BIND for all of them. */
  #bindSoon(): void {
    if (!this.#link?.hasSession || this.#isBindDue) return;
    this.#isBindDue = true;
    setImmediate(() => this.#bind());
  }
}
