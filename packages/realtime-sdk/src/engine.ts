// What `io.engine` is: the face that applications know of engine.io's Server, without a server.
//
// Deliberately absent: attach, handleRequest and handleUpgrade, as HTTP ends at the daemon; events of the wire
// (`flush`, `drain`).

import { EventEmitter } from "node:events";
import { randomBytes } from "node:crypto";
import type { ServerResponse } from "node:http";

import type { VirtualConnection } from "./connection.js";
import type { VirtualRequest } from "./request.js";

/** A middleware of `io.engine.use`: it sees the request of the handshake, not every poll. */
export type EngineMiddleware = (request: VirtualRequest, response: ServerResponse, next: (error?: unknown) => void) => void;

/** What `connection_error` handlers are told. */
export interface ConnectionError {
  readonly req: VirtualRequest;
  readonly code: number;
  readonly message: string;
  readonly context: Record<string, unknown>;
}

/** The options of engine.io with its defaults. */
export interface EngineOptions {
  pingTimeout: number;
  pingInterval: number;
  upgradeTimeout: number;
  maxHttpBufferSize: number;
  transports: string[];
  allowUpgrades: boolean;
  allowRequest?: (request: VirtualRequest, decide: (error: string | null | undefined, success: boolean) => void) => void;
  [option: string]: unknown;
}

/** engine.io's, so that a client sees the same whoever answers. */
export const ENGINE_DEFAULTS: Readonly<EngineOptions> = {
  pingTimeout: 20_000,
  pingInterval: 25_000,
  upgradeTimeout: 10_000,
  maxHttpBufferSize: 1e6,
  transports: ["polling", "websocket"],
  allowUpgrades: true,
  httpCompression: { threshold: 1024 },
  cors: false,
  allowEIO3: false,
};

type GenerateId = (request: VirtualRequest) => string | Promise<string>;

/** The engine that `io.bind()` is given. Its counts are of this worker's clients only. */
export class RingwayEngine extends EventEmitter {
  readonly opts: EngineOptions;
  readonly clients: Record<string, VirtualConnection> = {};
  clientsCount = 0;
  /** @internal */
  readonly middlewares: EngineMiddleware[] = [];
  /** @internal The application's `cors`, if it has functions. */
  corsMiddleware: EngineMiddleware | undefined;
  readonly #asks: () => void;
  readonly #listens: () => void;
  readonly #closed: () => void;
  #generateId: GenerateId | undefined;

  /** @internal */
  constructor(options: Readonly<Record<string, unknown>>, asks: () => void, listens: () => void, closed: () => void) {
    super();
    this.opts = { ...ENGINE_DEFAULTS, ...options };
    this.#asks = asks;
    this.#listens = listens;
    this.#closed = closed;
  }

  /** Adds a middleware that runs before a client is let in. Throws an `UnsupportedError` when the daemon is there and does not ask. */
  use(middleware: EngineMiddleware): void {
    this.#asks();
    this.middlewares.push(middleware);
  }

  /** Gives a new client its id. Assign another one to choose ids; as the daemon does when it is not assigned. */
  get generateId(): GenerateId {
    return this.#generateId ?? (() => randomBytes(15).toString("base64url"));
  }

  set generateId(generateId: GenerateId) {
    this.#asks();
    this.#generateId = generateId;
  }

  /** Whether the application chooses ids. */
  get choosesIds(): boolean {
    return this.#generateId !== undefined;
  }

  /** Whether anybody wants to hear of requests that were refused. */
  get hearsErrors(): boolean {
    return this.listenerCount("connection_error") > 0;
  }

  /** Whether anything here has to be asked before a client is let in. */
  get isAsked(): boolean {
    const listens = this.listenerCount("initial_headers") + this.listenerCount("headers") > 0;
    return this.middlewares.length > 0 || this.choosesIds || listens || typeof this.opts.allowRequest === "function";
  }

  override on(event: string | symbol, listener: (...args: never[]) => void): this {
    if (event === "initial_headers" || event === "headers") this.#asks();
    super.on(event, listener as (...args: unknown[]) => void);
    if (event === "connection_error") this.#listens();
    return this;
  }

  override addListener(event: string | symbol, listener: (...args: never[]) => void): this {
    return this.on(event, listener);
  }

  /** Leaves the daemon; `io.close()` calls it. */
  close(): this {
    this.#closed();
    return this;
  }

  /** @internal */
  add(connection: VirtualConnection): void {
    this.clients[connection.id] = connection;
    this.clientsCount += 1;
  }

  /** @internal */
  remove(connection: VirtualConnection): void {
    if (this.clients[connection.id] !== connection) return;
    delete this.clients[connection.id];
    this.clientsCount -= 1;
  }
}
