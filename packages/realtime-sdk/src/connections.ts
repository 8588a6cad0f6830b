// The clients of this worker by their number on the link, and what frames do to them.
//
// Deliberately absent: rooms and broadcasts (namespaces.ts).

import { aside } from "./aside.js";
import { Busy, type BusyHost } from "./busy.js";
import { CLOSE_REASONS, TRANSPORTS, VirtualConnection, type CloseReason, type ConnectionPort } from "./connection.js";
import type { RingwayEngine } from "./engine.js";
import { fileOf, serveFile } from "./files.js";
import { endRequest, greet, isOpen, shakeHands } from "./handshake.js";
import type { NamespaceInternals, ServerInternals } from "./internals.js";
import { LinkError } from "./link/errors.js";
import { FRAME_BODY_BYTES_MAX, type Conn, type Fields, type Frame, type FrameName } from "./link/frames.js";
import { json, type HandshakeRequest, type HandshakeResponse, type Json, type Open, type ResumedSocket } from "./link/json.js";
import type { Link } from "./link/link.js";
import { VirtualRequest } from "./request.js";
import { canResume, Resumption } from "./resume.js";

/** Requests of clients that were let in and did not open yet. */
const PREPARED_MAX = 4096;
/** How long the application may look at a request of a client that is there. */
const LOOK_MS_MAX = 5_000;
/** What HS_RES says beside its JSON. */
const VERDICT_COST_BYTES = 8;
/** What a client may say while its namespaces come back. */
const HELD_BYTES_MAX = 1 << 20;

/** How long a client's events may take to be answered before it goes to another worker. */
const ANSWERS_MS_MAX = 2_000;
/** And what it said while it was shown to middlewares: below the ten seconds after which the daemon takes the client (docs/link.md "Leaving"). */
const HELD_MS_MAX = 8_000;

/** The frames that concern a connection. */
export type ConnectionFrame = Extract<Frame, {
  name: "OPEN" | "RESUME" | "DATA" | "CLOSE" | "TRANSPORT" | "PRESSURE" | "HS_REQ" | "CONN_ERROR" | "MIGRATE_OUT";
}>;

/** Of these, the ones that come when the connection is known. */
type KnownFrame = Exclude<ConnectionFrame, { name: "OPEN" | "RESUME" | "HS_REQ" | "CONN_ERROR" }>;

/** Handlers that may run before no more is received. */
export interface HandlerBounds {
  /** Of one client. */
  readonly handlers_max: number;
  /** Of all clients of the worker. */
  readonly worker_handlers_max: number;
}

/** The connections of one engine. */
export class Connections implements ConnectionPort, BusyHost {
  readonly #byRef = new Map<Conn, VirtualConnection>();
  readonly #prepared = new Map<string, VirtualRequest>();
  /** Sessions that were lost. */
  #life = 0;
  readonly #engine: RingwayEngine;
  readonly #io: ServerInternals;
  readonly #link: Pick<Link, "send" | "flush" | "isWritable" | "can">;
  readonly #bounds: HandlerBounds;
  /** Says the data of a connection's sockets, before it goes elsewhere. */
  readonly #saveData: (connection: VirtualConnection) => void;
  /** Connections whose listeners hear of broadcasts: most applications have none. */
  readonly overheard = new Set<VirtualConnection>();
  /** Connections of which it was asked whether they take more, when the daemon did not. */
  readonly #undrained = new Set<VirtualConnection>();
  readonly busy: Busy;
  readonly fault: (error: LinkError) => void;
  /** Frames for connections that are no more: they crossed a CLOSE_CONN on the way. */
  unknownFrames = 0;
  /** Clients that went to other workers. */
  handedOver = 0;
  /** Called when the last client is gone. */
  onEmpty: (() => void) | undefined;

  constructor(
    engine: RingwayEngine,
    io: ServerInternals,
    link: Pick<Link, "send" | "flush" | "isWritable" | "can">,
    saveData: (connection: VirtualConnection) => void,
    bounds: HandlerBounds,
    fault: (error: LinkError) => void,
  ) {
    this.#engine = engine;
    this.#io = io;
    this.#link = link;
    this.#saveData = saveData;
    this.#bounds = bounds;
    this.fault = fault;
    this.busy = new Busy(this);
  }

  get isWritable(): boolean {
    return this.#link.isWritable;
  }

  get canHold(): boolean {
    return this.#link.can("hold");
  }

  get handlers_max(): number {
    return this.canHold ? this.#bounds.handlers_max : Infinity;
  }

  get worker_handlers_max(): number {
    return this.canHold ? this.#bounds.worker_handlers_max : Infinity;
  }

  flush(): void {
    this.#link.flush();
  }

  get parsesText(): boolean {
    return this.#io.opts.parser === undefined;
  }

  send<Name extends FrameName>(name: Name, flags: number, conn: Conn, fields: Fields<Name>): void {
    this.#link.send(name, flags, conn, fields);
  }

  get(conn: Conn): VirtualConnection | undefined {
    return this.#byRef.get(conn);
  }

  forget(connection: VirtualConnection): void {
    this.#byRef.delete(connection.ref);
    this.overheard.delete(connection);
    this.#undrained.delete(connection);
    this.busy.forget(connection);
    this.#engine.remove(connection);
    if (this.#byRef.size === 0 && this.onEmpty) setImmediate(this.onEmpty);
  }

  awaitDrain(connection: VirtualConnection): void {
    this.#undrained.add(connection);
  }

  /** The daemon takes more again. Those for whom it is not enough wait on, before others. */
  drain(): void {
    for (const connection of this.#undrained) {
      if (!this.isWritable) return;
      this.#undrained.delete(connection);
      aside(() => connection.drain());
    }
  }

  overhear(connection: VirtualConnection): void {
    if (this.#byRef.get(connection.ref) === connection) this.overheard.add(connection);
  }

  /** The session is gone: the daemon gives the clients to others, or has closed them. */
  endAll(reason: CloseReason): void {
    for (const connection of [...this.#byRef.values()]) connection.end(reason);
    this.#prepared.clear();
    this.#life += 1;
  }

  /** Resolved when nothing that clients said is held, or after so long. For one who deals with nothing more: nothing new is held meanwhile. */
  async heard(within_ms: number): Promise<void> {
    const holding = [...this.#byRef.values()].filter(({ holds }) => holds);
    const heard = Promise.all(holding.map((connection) => new Promise<void>((resolve) => connection.whenHeard(resolve))));
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<void>((resolve) => { timer = setTimeout(resolve, within_ms); });
    await Promise.race([heard, late]);
    clearTimeout(timer);
  }

  receive(frame: ConnectionFrame): void {
    switch (frame.name) {
      case "OPEN": return void this.#open(frame.conn, frame.json.value);
      case "RESUME": return this.#resume(frame.conn, frame.json.value, frame.json.value.sockets);
      case "HS_REQ": return void this.#shakeHands(frame.request, frame.json.value);
      case "CONN_ERROR": {
        const { code, message, context } = frame.json.value;
        const req = new VirtualRequest({ ...frame.json.value, address: "", secure: false });
        this.#engine.emit("connection_error", { req, code, message, context });
        return;
      }
      default: {
        const connection = this.#byRef.get(frame.conn);
        if (connection) this.#receive(connection, frame);
        else this.unknownFrames += 1;
      }
    }
  }

  #receive(connection: VirtualConnection, frame: KnownFrame): void {
    switch (frame.name) {
      case "DATA": {
        connection.receive(frame.payload);
        if (connection.heldBytes > HELD_BYTES_MAX) connection.close(true);
        return;
      }
      case "CLOSE": {
        const reason = CLOSE_REASONS[frame.reason] ?? "transport close";
        // Only errors have a description, as with engine.io.
        const description = reason === "transport error" ? new Error(frame.text) : undefined;
        // socket.io hands a packet on a tick later, and an event to its handlers one more: what came before the end, in one chunk with it, is heard
        // before it, as on a socket of one's own.
        setImmediate(() => connection.end(reason, description));
        return;
      }
      case "TRANSPORT": return connection.change(frame.phase, TRANSPORTS[frame.transport] ?? "websocket");
      case "PRESSURE": return connection.press(frame.on === 1);
      // Behind what came before it, as CLOSE.
      case "MIGRATE_OUT": return void setImmediate(() => connection.settle(ANSWERS_MS_MAX, HELD_MS_MAX, () => this.#handOver(connection)));
    }
  }

  /** The client goes to another worker, with its sockets' data as it is now. It does not notice. */
  #handOver(connection: VirtualConnection): void {
    if (connection.readyState !== "open") return;
    this.handedOver += 1;
    this.#saveData(connection);
    connection.isHandedOver = true;
    connection.end("server shutting down");
    this.#link.send("MIGRATE_OUT", 0, connection.ref, {});
  }

  #open(ref: Conn, open: Open): void {
    const isPrepared = this.#prepared.has(open.sid);
    const connection = this.#create(ref, open);
    if (isPrepared || !this.#engine.isAsked) return void this.#engine.emit("connection", connection);
    // It came before the daemon knew that it is to ask, or the one that was asked is gone.
    this.#keepUntil(connection, async () => {
      const shaken = await shakeHands(this.#engine, open);
      connection.request = shaken.request;
      return shaken.response.ok;
    }, () => {
      this.#engine.emit("connection", connection);
      connection.release();
    });
  }

  /** Keeps what a client says until the application has looked at its request. One that is not let in, or not looked at in time, is closed. */
  #keepUntil(connection: VirtualConnection, look: () => Promise<boolean>, go: () => void): void {
    connection.hold();
    const timer = setTimeout(() => connection.close(true), LOOK_MS_MAX);
    connection.once("close", () => clearTimeout(timer));
    void look().then((isLetIn) => {
      clearTimeout(timer);
      if (connection.readyState !== "open") return;
      if (isLetIn) go();
      else connection.close(true);
    });
  }

  #create(ref: Conn, open: Open): VirtualConnection {
    if (this.#byRef.has(ref)) throw new LinkError("out-of-turn", `connection ${ref} is open`);
    const prepared = this.#prepared.get(open.sid);
    this.#prepared.delete(open.sid);
    const connection = new VirtualConnection(this.#engine, this, ref, open, prepared);
    this.#byRef.set(ref, connection);
    // The application may let go of the connection's own.
    if (prepared && isOpen(prepared)) connection.once("close", () => endRequest(prepared));
    this.#engine.add(connection);
    return connection;
  }

  #resume(ref: Conn, open: Open, sockets: readonly ResumedSocket[]): void {
    if (!canResume(this.#io.of("/") as unknown as NamespaceInternals)) {
      // This socket.io cannot: the client reconnects, which it would have done without the daemon.
      this.#link.send("CLOSE_CONN", 0, ref, {});
      return;
    }
    const connection = this.#create(ref, open);
    const resumption = new Resumption(connection, this.#io, sockets);
    const go = (): void => {
      resumption.prepare();
      this.#engine.emit("connection", connection);
      resumption.feed();
    };
    const { request } = connection;
    if (this.#engine.middlewares.length === 0 || request === undefined) return go();
    this.#keepUntil(connection, () => greet(this.#engine, request), go);
  }

  async #shakeHands(request: number, asked: HandshakeRequest): Promise<void> {
    const life = this.#life;
    const file = fileOf(this.#io, asked);
    const shaken = file === undefined ? await shakeHands(this.#engine, asked) : { response: await serveFile(this.#io, this.#engine, asked, file) };
    // Of another session it would be the answer to another question.
    if (life !== this.#life) return;
    const sid = shaken.response.sid ?? asked.sid;
    if ("request" in shaken && shaken.response.ok && sid !== undefined && shaken.request._query["sid"] === undefined) {
      this.#prepare(sid, shaken.request);
    }
    this.#link.send("HS_RES", 0, 0, { request, json: verdictOf(shaken.response) });
  }

  /** Kept until the client opens, so that what middlewares added is at `socket.request`. The oldest gives way. */
  #prepare(sid: string, request: VirtualRequest): void {
    if (this.#prepared.size >= PREPARED_MAX) {
      for (const oldest of this.#prepared.keys()) {
        this.#prepared.delete(oldest);
        break;
      }
    }
    this.#prepared.set(sid, request);
  }
}

/** What the daemon is told. An answer that no frame can say no client can be told either (RW-2612), as one without such a status. */
function verdictOf(response: HandshakeResponse): Json<HandshakeResponse> {
  const verdict = json(response);
  const bytes = VERDICT_COST_BYTES + Buffer.byteLength(verdict.text);
  return bytes <= FRAME_BODY_BYTES_MAX ? verdict : json({ ok: false, status: 0 });
}
