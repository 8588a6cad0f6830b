// The members of socket.io's classes that are touched here, all in one place: what a new version of socket.io may break.
//
// The public ones are documented by socket.io; those with an underscore are not, and are asked for before they are used.

import type { EventEmitter } from "node:events";

import type { PacketData, VirtualConnection } from "./connection.js";

/** A Socket.IO packet before it is encoded. */
export interface Packet {
  type: number;
  nsp?: string;
  id?: number;
  data?: unknown;
}

/** Types of packets that are told apart here. */
export const PACKET = { CONNECT: 0, DISCONNECT: 1, EVENT: 2, ACK: 3, CONNECT_ERROR: 4 } as const;

/** What encoders make: a text, and its attachments as the application gave them; other parsers may make bytes only. */
export type Encoded = PacketData[];

/** A parser's decoder; its `decoded` event gives packets. */
export interface Decoder {
  add(part: string | Buffer): void;
  on(event: "decoded", listener: (packet: Packet) => void): unknown;
  destroy?(): void;
}

/** socket.io's Client. */
export interface ClientInternals {
  readonly conn: VirtualConnection;
}

/** What is restored of a socket. */
export interface Session {
  sid: string;
  pid: string;
  rooms: string[];
  data: unknown;
  missedPackets: unknown[][];
}

/** socket.io's Socket. */
export interface SocketInternals {
  readonly id: string;
  readonly pid?: string;
  /** Whether it was there before: its client came back, or from another worker. */
  readonly recovered?: boolean;
  readonly data: unknown;
  readonly handshake: { readonly auth: unknown };
  readonly client: ClientInternals;
  readonly conn: VirtualConnection;
  readonly _anyOutgoingListeners?: unknown[];
  notifyOutgoingListeners?(packet: Packet): void;
  packet(packet: Packet): void;
  disconnect(close: boolean): unknown;
}

/** The class of sockets: `new Socket(nsp, client, auth, session)`. */
export type SocketClass = new (nsp: NamespaceInternals, client: ClientInternals, auth: object, session: Session) => SocketInternals;

/** socket.io's Namespace. */
export interface NamespaceInternals {
  readonly name: string;
  readonly server: ServerInternals;
  readonly sockets: ReadonlyMap<string, SocketInternals>;
  /** Private, since 4.6. Without it a client cannot be resumed, and reconnects. */
  _createSocket?(client: ClientInternals, auth: Record<string, unknown>): Promise<SocketInternals>;
}

/** socket.io's Server. */
export interface ServerInternals extends EventEmitter {
  readonly opts: Readonly<Record<string, unknown>> & {
    readonly connectionStateRecovery?: { readonly maxDisconnectionDuration: number };
    readonly parser?: unknown;
  };
  readonly encoder: { encode(packet: Packet): Encoded };
  _parser: { readonly Decoder: new () => Decoder };
  readonly _connectTimeout?: number;
  /** There is one if the server was given it, or has made it: it then takes clients by itself. */
  readonly httpServer?: unknown;
  path(): string;
  serveClient(): boolean;
  /** Private, in all versions: gives a file of the client. */
  serve?(file: string, request: unknown, response: unknown): void;
  adapter(adapter: unknown): unknown;
  bind(engine: unknown): unknown;
  of(name: string): { readonly adapter: object };
  close(done?: (error?: Error) => void): Promise<void>;
}

/** The object that was JSON: the daemon may give it as the text that it got, or as a part of its own JSON. */
export function valueOf(value: unknown): object {
  if (typeof value === "string") {
    try {
      return valueOf(JSON.parse(value));
    } catch {
      return {};
    }
  }
  return typeof value === "object" && value !== null ? value : {};
}
