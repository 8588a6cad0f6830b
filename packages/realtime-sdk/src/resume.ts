// A client whose worker went away comes to this one, and does not notice: its namespaces are connected again behind its back.
//
// The daemon's RESUME says what they were. For each a CONNECT is fed to Socket.IO, whose answer the client must not see, as
// it has had one. What the client says meanwhile waits until all of them are back.

import { bytesOf, type OutgoingFilter, type PacketData, type PacketOptions, type VirtualConnection } from "./connection.js";
import {
  PACKET, type ClientInternals, type Decoder, type NamespaceInternals, type Packet, type ServerInternals, type Session,
  type SocketClass, type SocketInternals, valueOf,
} from "./internals.js";
import type { ResumedSocket } from "./link/json.js";

/** How long middlewares may take before the client is closed, and so reconnects. */
const RESUME_MS_MAX = 20_000;

const running = new WeakMap<VirtualConnection, Resumption>();
const creating = new WeakMap<NamespaceInternals, VirtualConnection>();

/** Whether `nsp` can build a socket with the id, rooms and data of another one. */
export function canResume(nsp: NamespaceInternals | undefined): boolean {
  return typeof nsp?._createSocket === "function";
}

/**
 * The connection for which `nsp` builds a socket right now. `adapter.restoreSession` is not told, and the daemon must know,
 * as it lets the client into its rooms in the same step.
 */
export function creatingOn(nsp: NamespaceInternals): VirtualConnection | undefined {
  return creating.get(nsp);
}

/** Makes `nsp` build resumed clients' sockets as they were. Does nothing when there is no such method. */
export function hookNamespace(nsp: NamespaceInternals): void {
  const create = nsp._createSocket;
  if (create === undefined || Object.hasOwn(nsp, "_createSocket")) return;
  const createPlain = (client: ClientInternals, auth: Record<string, unknown>): Promise<SocketInternals> => {
    creating.set(nsp, client.conn);
    try {
      return create.call(nsp, client, auth);
    } finally {
      creating.delete(nsp);
    }
  };
  nsp._createSocket = async (client, auth) => {
    const session = running.get(client.conn)?.take(nsp.name);
    if (session === undefined) return createPlain(client, auth);
    // The class has no public name here; a socket that is let go again tells it. Without `pid` nothing else is restored.
    const { pid: _pid, offset: _offset, ...rest } = auth;
    const pattern = await create.call(nsp, client, rest);
    return new (pattern.constructor as SocketClass)(nsp, client, auth, session);
  };
}

/** The way back of one client. */
export class Resumption implements OutgoingFilter {
  readonly #connection: VirtualConnection;
  readonly #io: ServerInternals;
  readonly #sessions = new Map<string, ResumedSocket>();
  /** Namespaces whose CONNECT was not answered yet. */
  readonly #awaited: Set<string>;
  readonly #decoder: Decoder;
  /** Parts of a packet that is not whole yet. */
  #parts: { data: PacketData; options: PacketOptions }[] = [];
  #timer: NodeJS.Timeout | undefined;

  constructor(connection: VirtualConnection, io: ServerInternals, sockets: readonly ResumedSocket[]) {
    this.#connection = connection;
    this.#io = io;
    for (const socket of sockets) this.#sessions.set(socket.nsp, socket);
    this.#awaited = new Set(this.#sessions.keys());
    this.#decoder = new io._parser.Decoder();
    this.#decoder.on("decoded", (packet) => this.#pass(packet));
  }

  /** Before Socket.IO knows of the connection. */
  prepare(): void {
    running.set(this.#connection, this);
    this.#connection.hold(this);
    this.#timer = setTimeout(() => this.#connection.close(true), RESUME_MS_MAX);
    this.#connection.once("close", () => this.#end());
  }

  /** Socket.IO listens: each namespace is asked for again. */
  feed(): void {
    for (const { nsp, auth } of this.#sessions.values()) {
      // Clients of revision 3 are in the main namespace without asking.
      if (this.#connection.protocol === 3 && nsp === "/") continue;
      for (const part of this.#io.encoder.encode(this.#connect(nsp, valueOf(auth)))) {
        this.#connection.deliver(typeof part === "string" ? part : Buffer.from(bytesOf(part)));
      }
    }
    this.#finishIfDone();
  }

  /** The session of a namespace, once. */
  take(nsp: string): Session | undefined {
    const socket = this.#sessions.get(nsp);
    if (socket === undefined || !this.#awaited.has(nsp)) return undefined;
    this.#sessions.delete(nsp);
    return {
      sid: socket.sid,
      pid: socket.pid ?? "",
      rooms: socket.rooms,
      data: valueOf(socket.data),
      missedPackets: [],
    };
  }

  /** A part of what Socket.IO says to the client. */
  write(data: PacketData, options: PacketOptions): void {
    this.#parts.push({ data, options });
    try {
      this.#decoder.add(typeof data === "string" ? data : Buffer.from(bytesOf(data)));
    } catch {
      // A parser that does not read what it wrote: better the client sees it.
      this.#flush();
    }
  }

  #connect(nsp: string, auth: object): Packet {
    if (this.#connection.protocol !== 3) return { type: PACKET.CONNECT, nsp, data: auth };
    const query = new URLSearchParams(Object.entries(auth).map(([key, value]): [string, string] => [key, String(value)])).toString();
    return { type: PACKET.CONNECT, nsp: query === "" ? nsp : `${nsp}?${query}` };
  }

  #pass(packet: Packet): void {
    const nsp = packet.nsp ?? "/";
    const isAnswer = packet.type === PACKET.CONNECT || packet.type === PACKET.CONNECT_ERROR;
    if (!isAnswer || !this.#awaited.delete(nsp)) return this.#flush();
    const options = this.#parts[0]?.options ?? {};
    this.#parts = [];
    if (packet.type === PACKET.CONNECT_ERROR) {
      // The client believes that it is connected: an error would mean nothing to it.
      for (const part of this.#io.encoder.encode({ type: PACKET.DISCONNECT, nsp })) this.#connection.transmit(part, options);
    }
    this.#finishIfDone();
  }

  #flush(): void {
    const parts = this.#parts;
    this.#parts = [];
    for (const { data, options } of parts) this.#connection.transmit(data, options);
  }

  /** Not within the answer: Socket.IO knows the socket only behind it. */
  #finishIfDone(): void {
    if (this.#awaited.size > 0) return;
    process.nextTick(() => {
      this.#end();
      this.#connection.release();
      this.#connection.back();
    });
  }

  #end(): void {
    clearTimeout(this.#timer);
    running.delete(this.#connection);
    this.#decoder.destroy?.();
  }
}
