// The one line of a NestJS application: `app.useWebSocketAdapter(new RingwayAdapter(app, options))`.
//
// The Server is made by IoAdapter itself, without an address, so that it is of the very socket.io that NestJS runs on.

import { type INestApplicationContext, Logger } from "@nestjs/common";
import { IoAdapter } from "@nestjs/platform-socket.io";

import { joinRingway, type RingwayOptions } from "../attach.js";
import type { Ringway } from "../worker.js";
import { Dispatch, type Handlers, type NestSocket } from "./dispatch.js";
import { keepOrder } from "./order.js";
import { RingwayStatus, statusOf } from "./status.js";
import { platformFile } from "./tree.js";

type Server = ReturnType<IoAdapter["createIOServer"]>;
type ServerOptions = NonNullable<Parameters<IoAdapter["createIOServer"]>[1]>;

/** What an http server is asked here. */
interface Listens {
  readonly listening: boolean;
  once(event: "listening", listener: () => void): unknown;
}

/** Options of a gateway that the daemon's configuration decides, and where it does. */
const DAEMONS: Readonly<Record<string, string>> = {
  allowEIO3: "engine", httpCompression: "websocket.deflate", perMessageDeflate: "websocket.deflate",
};

/** NestJS gateways on client sockets that the Ringway daemon owns. */
export class RingwayAdapter extends IoAdapter {
  readonly #app: object | undefined;
  readonly #options: RingwayOptions | undefined;
  readonly #status: RingwayStatus;
  readonly #dispatch = new Dispatch((values) => this.mapPayload(values));
  #ringway: Ringway | undefined;
  #server: { readonly io: Server; readonly port: number; readonly path: string } | undefined;

  /** Without `options` they are those of `RingwayModule.forRoot()`. */
  constructor(app?: INestApplicationContext | object, options?: RingwayOptions) {
    super(app);
    this.#app = app;
    this.#options = options;
    const httpAdapter = httpAdapterOf(app);
    this.#status = httpAdapter === undefined ? new RingwayStatus() : statusOf(httpAdapter);
    this.#status.used();
  }

  /** The worker behind which the gateways are, once the first of them is served. */
  get ringway(): Ringway | undefined {
    return this.#ringway;
  }

  /**
   * Looks for the daemon, which from then on sends clients. It happens by itself when the application begins to listen, as
   * its own sockets would then; one that only says `app.init()` says this behind it.
   */
  start(): void {
    if (this.#ringway === undefined || this.#status.now.state !== "waiting") return;
    this.#status.started();
    this.#ringway.start();
  }

  override get forceCloseConnections(): boolean {
    return super.forceCloseConnections;
  }

  /** NestJS says it before it connects the first gateway. */
  override set forceCloseConnections(value: boolean) {
    super.forceCloseConnections = value;
    keepOrder(this.#app);
  }

  override createIOServer(port: number, options?: ServerOptions): Server {
    this.#refuseSecond(port, options);
    // No port and no http server: nobody but the daemon brings clients.
    const io = super.createIOServer(undefined as unknown as number, options);
    const link = this.#linkOptions();
    // A deployment replaces one process after the other: what is left of them serves the clients of the one that goes.
    this.#ringway = joinRingway(io, { onClose: "migrate", ...link });
    this.#server = { io, port, path: io.path() };
    this.#status.watch(this.#ringway, link.url);
    tellWhoDecides(port, options);
    this.#startWithApplication();
    return io;
  }

  override bindMessageHandlers(socket: NestSocket, handlers: Handlers): void {
    this.#dispatch.bind(socket, handlers);
  }

  /** Leaves the daemon; its clients go to other processes or wait for the next one, or are closed with `onClose: "close"`. */
  override async close(server: Server): Promise<void> {
    // NestJS brings namespaces here, too, which have nothing to close.
    if (server !== this.#server?.io) return super.close(server);
    this.#server = undefined;
    await server.close();
    this.#status.stopped();
  }

  #linkOptions(): RingwayOptions {
    const options = this.#options ?? this.#status.options;
    if (options === undefined) {
      throw new Error("RingwayAdapter has no options: new RingwayAdapter(app, { url }), or RingwayModule.forRoot({ url })");
    }
    const resolveFrom = options.resolveFrom ?? platformFile();
    return resolveFrom === undefined ? options : { ...options, resolveFrom };
  }

  /** Workers of one application share clients, so that each must have all gateways: a second server would get a part of them. */
  #refuseSecond(port: number, options: ServerOptions | undefined): void {
    if (this.#server === undefined) return;
    const path = options?.path ?? "/socket.io";
    throw new Error(
      `a gateway wants port ${port} and path ${path}, another one has port ${this.#server.port} and path ${this.#server.path}: `
        + "behind Ringway all gateways share the daemon's address. Give them the same port and path, and tell them apart by `namespace`",
    );
  }

  #startWithApplication(): void {
    const http = this.httpServer as Partial<Listens> | undefined;
    if (typeof http?.once !== "function" || http.listening === true) this.start();
    else http.once("listening", () => this.start());
  }
}

function httpAdapterOf(app: unknown): object | undefined {
  const { getHttpAdapter } = (app ?? {}) as { getHttpAdapter?: () => object };
  return typeof getHttpAdapter === "function" ? getHttpAdapter.call(app) : undefined;
}

function tellWhoDecides(port: number, options: ServerOptions | undefined): void {
  const said = Object.keys(options ?? {}).filter((key) => key in DAEMONS);
  const places = [...new Set(said.map((key) => DAEMONS[key]))].join(", ");
  const logger = new Logger("RingwayAdapter");
  if (said.length > 0) logger.log(`the daemon's configuration (${places}) decides what gateways say of ${said.join(", ")}`);
  if (port !== 0) logger.log(`gateways' port ${port} is not opened: clients connect to the daemon`);
}
