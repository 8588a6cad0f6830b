// The adapter of `io.adapter()`: rooms are mirrored here, as `socket.rooms` is asked synchronously, and broadcasts are executed
// by the daemon, which knows the members of all workers.
//
// What becomes of sockets of all workers (socketsJoin, socketsLeave, disconnectSockets) the daemon does, too, in the order of what this worker says, and tells
// their workers (MOVED). What else needs the sockets of others (fetchSockets, serverSideEmit…) is ClusterAdapter's own, over BUS.

import { randomInt } from "node:crypto";
import type { EventEmitter } from "node:events";

import type {
  BroadcastFlags, BroadcastOptions, ClusterAdapterWithHeartbeat, ClusterMessage, ClusterResponse, Session as StoredSession,
} from "socket.io-adapter";

import { decodeBus, encodeBus } from "./bus.js";
import { bytesOf, VirtualConnection } from "./connection.js";
import { isSession, jsonOnly, jsonText, SESSION_BYTES_MAX, type Owner } from "./data.js";
import { preEncodedFrame } from "./frame.js";
import {
  PACKET, valueOf, type Decoder, type Encoded, type NamespaceInternals, type Packet, type SocketInternals,
} from "./internals.js";
import { FLAG, MOVED_UNKNOWN, MOVEMENT, type Conn, type Fields, type Frame, type FrameName, type Part } from "./link/frames.js";
import { Kept, type Returning } from "./kept.js";
import { Lately } from "./lately.js";
import { listenersClass, slim } from "./listeners.js";
import { Membership } from "./membership.js";
import { Moves, movesOf, type Moved } from "./moves.js";
import { warnOfAnswer, type Namespaces, type NamespaceAdapter } from "./namespaces.js";
import type { Capability } from "./needs.js";
import { isOrder, orderOf } from "./order.js";
import { hookSocketClass } from "./overhear.js";
import { creatingOn, hookNamespace } from "./resume.js";
import { RoomNames, withWireNames, wireRoom } from "./rooms.js";

/** The application's own copy of socket.io-adapter. */
export type AdapterModule = Pick<typeof import("socket.io-adapter"), "Adapter" | "ClusterAdapterWithHeartbeat" | "MessageType">;

/** What adapters ask of the worker. */
export interface AdapterHost {
  readonly instance: string;
  readonly namespaces: Namespaces;
  /** Whether the daemon is there, or was a moment ago. */
  readonly hasSession: boolean;
  /** Whether what may be dropped is worth sending now. */
  readonly isWritable: boolean;
  /** Whether packets are Socket.IO's text: the daemon adds ids and offsets to those only. */
  readonly parsesText: boolean;
  /** Whether the daemon has an optional part of the protocol. */
  can(capability: Capability): boolean;
  /** The connection that has this number now. */
  connectionOf(conn: Conn): VirtualConnection | undefined;
  /** Connections whose listeners are told of broadcasts. */
  readonly overheard: ReadonlySet<VirtualConnection>;
  /** Set while the worker stops: whether its clients wait for the next one. */
  readonly stopping: "keep" | "close" | undefined;
  /** Other servers of this process say now what they have to say. */
  flushOthers(): void;
  send<Name extends FrameName>(name: Name, flags: number, conn: Conn, fields: Fields<Name>): void;
}

/** A class that `io.adapter()` takes. */
export type AdapterClass = new (nsp: never) => InstanceType<AdapterModule["Adapter"]>;

/** A message between adapters; `kept` is an offset (kept.ts), `names` are of rooms that sockets are about to be moved to (rooms.ts), `moved` says that the daemon has done it. */
type BusMessage = ClusterMessage & { readonly kept?: unknown; readonly names?: unknown; readonly moved?: unknown };

/** What is asked of all workers. */
type Asking = Parameters<ClusterAdapterWithHeartbeat["publish"]>[0];

/** Of what other workers are told of sockets that were moved: what is longer they are not. */
const MOVED_BYTES_MAX = 64 << 10;
/** Rooms in one JOIN or LEAVE: a list has a u16 in front, and a frame holds this many of the longest names (rooms.ts). */
const LIST_MAX = 4_000;
/** The daemon bounds the rooms of a socket: it refuses a MEMBER with too many as a whole, and of a JOIN takes what fits. */
const MEMBER_ROOMS = 64;
/** A private id, or an offset. */
const ID_BYTES_MAX = 128;
/** How long the daemon may take to find a session. */
const SESSION_MS_MAX = 5_000;
/** How many numbers a namespace's acknowledgements have. */
const ACK_IDS = 2 ** 29;
/** Requests that may be open, before this worker gathers answers itself: the daemon keeps a few more, and then forgets the oldest. */
const ASKED_MAX = 100;
/** What a client's acknowledgement may come later than the timeout that its sender gave. */
const LATE_MS = 1_000;

/** Listeners of sockets. */
const SocketListeners = listenersClass();

/** In-memory members that socket.io-adapter does not declare for others. */
interface Applied {
  apply(opts: BroadcastOptions, callback: (socket: SocketInternals) => void): void;
}

/** The adapter's class over the application's own copy of socket.io-adapter. */
export function createAdapterClass(module: AdapterModule, host: AdapterHost): AdapterClass {
  const inMemory = module.Adapter.prototype;
  const { BROADCAST, SOCKETS_JOIN, SOCKETS_LEAVE, DISCONNECT_SOCKETS, FETCH_SOCKETS_RESPONSE } = module.MessageType;

  class RingwayAdapter extends module.ClusterAdapterWithHeartbeat implements NamespaceAdapter {
    readonly #nsp: NamespaceInternals;
    /** Undefined while socket.io has closed this adapter. */
    #openNumber: number | undefined;
    /** Sockets that the daemon knows, with the connection that they are on. */
    readonly #members = new Map<string, VirtualConnection>();
    readonly #peers = new Set<string>();
    readonly #names = new RoomNames();
    readonly #membership = new Membership(this.#names, (event, room, id) => void this.emit(event, ...(id === undefined ? [room] : [room, id])));
    readonly #moves = new Moves();
    /** Sockets of which something was said lately that the daemon may not have heard when it moved others', and what it has moved ({@link moveOf}). */
    readonly #spoken = new Lately();
    readonly #moved = new Lately();
    /** The socket of which the daemon is about to be told. */
    #introducing: string | undefined;
    /** What the daemon keeps of others: packets of a parser of one's own for clients that come back, by their sockets' ids. */
    readonly #kept: Kept | undefined;
    readonly #returning = new Map<string, Returning>();

    constructor(nsp: NamespaceInternals) {
      super(nsp, {});
      this.rooms = this.#membership.rooms;
      this.sids = this.#membership.sids;
      this.#nsp = nsp;
      // Who else is there is said by the daemon (PEERS): no heartbeats, and no timer that looks for missing ones.
      clearInterval(Reflect.get(this, "cleanupTimer") as NodeJS.Timeout | undefined);
      // One name of the worker for all its namespaces, as the daemon routes by it.
      Object.assign(this, { uid: host.instance });
      this.#openNumber = host.namespaces.add(nsp.name, this);
      const recovery = nsp.server.opts.connectionStateRecovery;
      if (recovery && !host.parsesText) this.#kept = new Kept(recovery.maxDisconnectionDuration);
      hookNamespace(nsp);
      drawIds(nsp);
    }

    override init(): void {}

    override close(): void {
      if (host.stopping !== undefined) return;
      this.#openNumber = undefined;
      host.namespaces.remove(this.#nsp.name, this);
    }

    /**
     * The namespace's number. socket.io closes the adapters of children that are empty (`cleanupEmptyChildNamespaces`), before it tells their `disconnect`
     * listeners, and also of those into which somebody is on the way: what is said there is heard by the other servers, and whoever comes is in. The number
     * may be another namespace's by then.
     */
    get #number(): number {
      if (this.#openNumber === undefined) {
        this.#openNumber = host.namespaces.reopen(this.#nsp.name, this);
        // When nobody came; else socket.io closes it again behind the last one.
        queueMicrotask(() => { if (this.#members.size === 0) this.close(); });
      }
      return this.#openNumber;
    }

    hasMember(sid: string): boolean {
      return this.#members.has(sid);
    }

    override serverCount(): Promise<number> {
      return Promise.resolve(1 + this.#peers.size);
    }

    override addAll(id: string, rooms: Set<string>): void {
      const added: string[] = [];
      this.#membership.sids.open(id);
      for (const room of rooms) if (this.#membership.join(id, room)) added.push(room);
      const connection = this.#members.get(id);
      // Somebody who hears of a room may join the socket to another one.
      if (id === this.#introducing) return;
      if (connection) this.#sendRooms("JOIN", id, connection, added);
      else this.#introduce(id);
    }

    override del(id: string, room: string): void {
      const connection = this.#members.get(id);
      const isOut = this.#membership.leave(id, room, connection === undefined);
      if (connection && isOut && id !== this.#introducing) this.#sendRooms("LEAVE", id, connection, [room]);
    }

    override delAll(id: string): void {
      this.#membership.end(id);
      this.#moves.begin(id);
      this.#spoken.delete(id);
      this.#returning.delete(id);
      const connection = this.#members.get(id);
      if (connection === undefined) return;
      this.#members.delete(id);
      // Of a connection that ended the daemon knows it already; of one that waits for the next worker it keeps the rooms.
      if (connection.readyState !== "open") return;
      if (host.stopping === "keep") this.#sendData(connection, this.#nsp.sockets.get(id));
      else host.send("LEAVE_ALL", 0, connection.ref, { nsp: this.#number });
    }

    override broadcast(packet: Packet, opts: BroadcastOptions): Promise<void> {
      if (this.#kept && isRecoverable(packet, opts.flags)) {
        const offset = this.#kept.offset();
        (packet.data as unknown[]).push(offset);
        // Each worker keeps it for its own clients.
        const isAlone = isLocal(opts) || this.#peers.size === 0;
        if (!isAlone) this.publish({ type: BROADCAST, data: { packet, opts: plain(opts) }, kept: offset } as Asking);
        return this.#broadcastKept(this.#kept, offset, packet, isAlone ? opts : localOf(opts));
      }
      if (this.#kept && !isLocal(opts) && this.#peers.size > 0) {
        // All of these go one way, so that they keep their order.
        this.publish({ type: BROADCAST, data: { packet, opts: plain(opts) } });
        return this.broadcast(packet, localOf(opts));
      }
      if (this.#isMine(opts)) {
        inMemory.broadcast.call(this, packet, opts);
        return Promise.resolve();
      }
      // Nobody is to have it late.
      if (opts.flags?.volatile && !host.isWritable) return Promise.resolve();
      const parts = this.#encode(packet, opts);
      host.send("BCAST", this.#flags(packet, opts.flags, parts), 0, this.#target(opts, parts));
      return Promise.resolve();
    }

    /** A broadcast that has its offset. */
    #broadcastKept(kept: Kept, offset: string, packet: Packet, opts: BroadcastOptions): Promise<void> {
      if (this.#isMine(opts)) {
        kept.add(offset, packet.data as unknown[], withWireNames(opts), 0);
        inMemory.broadcast.call(this, packet, opts);
        return Promise.resolve();
      }
      const parts = this.#encode(packet, opts);
      kept.add(offset, packet.data as unknown[], withWireNames(opts), parts.reduce((sum, { bytes }) => sum + bytes.length, 0));
      host.send("BCAST", this.#flags(packet, opts.flags, parts), 0, this.#target(opts, parts));
      return Promise.resolve();
    }

    override broadcastWithAck(
      packet: Packet,
      opts: BroadcastOptions,
      clientCountCallback: (clientCount: number) => void,
      ack: (...args: unknown[]) => void,
    ): void {
      // The daemon cannot put its own id into a packet that it cannot read.
      if (this.#isMine(opts) || !host.parsesText || !host.can("ackgather") || host.namespaces.openRequests >= ASKED_MAX) {
        // Alone there is nobody to ask, and no timer to keep for the answers.
        const { broadcastWithAck } = this.#peers.size === 0 ? inMemory : module.ClusterAdapterWithHeartbeat.prototype;
        return broadcastWithAck.call(this, packet, opts, clientCountCallback, ack);
      }
      // Who broadcasts counts the servers that have answered; here one answers for all.
      const servers = 1 + this.#peers.size;
      const answer = (clients: number): void => {
        clientCountCallback(clients);
        for (let others = 1; others < servers; others += 1) clientCountCallback(0);
      };
      if (!host.hasSession) return answer(0);
      packet.id = 0;
      const parts = this.#encode(packet, opts);
      const timeout_ms = Math.min(opts.flags?.timeout ?? 0, 0xffff_ffff);
      let [asked, answered] = [Infinity, 0];
      const closeIfDone = (): void => { if (answered >= asked) host.namespaces.close(request); };
      const request = host.namespaces.open(Math.min(timeout_ms + LATE_MS, 0x7fff_ffff), {
        count: (clients) => {
          asked = clients;
          answer(clients);
          closeIfDone();
        },
        reply: (replies) => {
          this.#decode(replies, (reply) => {
            answered += 1;
            ack(...reply);
          });
          closeIfDone();
        },
        fail: () => {},
      });
      const flags = this.#flags(packet, opts.flags, parts);
      host.send("BCAST_ACK", flags, 0, { request, timeout_ms, ...this.#target(opts, parts) });
    }

    /** Here at once: `socketsJoin` and then `emit` works without waiting. */
    override addSockets(opts: BroadcastOptions, rooms: string[]): Promise<void> {
      inMemory.addSockets.call(this, opts, rooms);
      this.#move(MOVEMENT.JOIN, opts, rooms, { type: SOCKETS_JOIN, data: { opts: plain(opts), rooms } });
      return Promise.resolve();
    }

    override delSockets(opts: BroadcastOptions, rooms: string[]): Promise<void> {
      inMemory.delSockets.call(this, opts, rooms);
      this.#move(MOVEMENT.LEAVE, opts, rooms, { type: SOCKETS_LEAVE, data: { opts: plain(opts), rooms } });
      return Promise.resolve();
    }

    override disconnectSockets(opts: BroadcastOptions, close: boolean): Promise<void> {
      // Said first: a handler of `disconnect` here may take what others select by.
      this.#move(close ? MOVEMENT.CLOSE : MOVEMENT.DISCONNECT, opts, [], { type: DISCONNECT_SOCKETS, data: { opts: plain(opts), close } });
      inMemory.disconnectSockets.call(this, opts, close);
      return Promise.resolve();
    }

    /** Sockets of all other workers, and those that wait for one, by the daemon; by `asking` their workers, where it cannot. */
    #move(what: number, opts: BroadcastOptions, rooms: readonly string[], asking: Asking): void {
      if (isLocal(opts)) return;
      // Broadcasts go that way, too, so that both keep their order.
      if (this.#kept) return this.publish(asking);
      if (what === MOVEMENT.JOIN) this.#tellNames(rooms);
      const { nsp, rooms: to, except } = this.#target(opts, []);
      const moves = movesOf({ nsp, what, rooms: to, except, places: [...new Set(rooms.map(wireRoom))] });
      host.namespaces.move(this.#nsp.name, moves, () => this.#messageOf(asking));
      this.#tellMoved(asking);
    }

    /**
     * Whom the daemon chooses it chooses by what it has heard. What another worker has said before, and what is still on its way, it has not: each looks for
     * itself among those of its sockets of which it has said something lately. Nobody needs to be told what is too long for that: it is the rooms of thousands.
     */
    #tellMoved(asking: Asking): void {
      if (this.#peers.size === 0 || !host.hasSession || !host.can("move")) return;
      const message = this.#messageOf({ ...asking, moved: true } as unknown as Asking);
      if (message.length <= MOVED_BYTES_MAX) host.namespaces.publish(this.#nsp.name, message);
    }

    /** Sockets were moved, and some of this worker's were not chosen as the daemon had not heard of them what it has heard by now, or hears next. */
    #moveMissed(message: BusMessage): void {
      const { type, data } = message as unknown as { type: unknown; data?: { opts?: { rooms?: unknown; except?: unknown }; rooms?: unknown; close?: unknown } };
      const { opts, rooms = [], close } = data ?? {};
      const [to, except, places] = [opts?.rooms, opts?.except, rooms].map((list) => (Array.isArray(list) ? new Set<string>(list) : undefined));
      if (!to || !except || !places) return;
      const target = withWireNames({ rooms: to, except });
      for (const id of this.#chosen(target)) {
        // Where the daemon has moved it, it may have been moved back by whoever heard of it.
        const isLeft = (what: number) => (room: string): boolean => !this.#moved.has(moveOf(id, what, wireRoom(room)));
        if (!this.#members.has(id)) continue;
        if (type === SOCKETS_JOIN) this.addAll(id, new Set([...places].filter(isLeft(MOVEMENT.JOIN))));
        else if (type === SOCKETS_LEAVE) for (const room of [...places].filter(isLeft(MOVEMENT.LEAVE))) this.del(id, room);
        else if (type === DISCONNECT_SOCKETS) this.#nsp.sockets.get(id)?.disconnect(close === true);
      }
    }

    /** Of those of which something was said lately. As many are looked at as are in the rooms, and not as many as have spoken. */
    #chosen({ rooms, except }: { rooms: ReadonlySet<string>; except: ReadonlySet<string> }): string[] {
      const { rooms: members, sids } = this.#membership;
      const inRooms = new Set([...rooms].flatMap((room) => [...members.items(room)]));
      const found = rooms.size === 0 ? [...this.#spoken.keys()] : [...inRooms].filter((id) => this.#spoken.has(id));
      return found.filter((id) => ![...except].some((room) => sids.holds(id, room)));
    }

    #note(id: string): void {
      if (this.#peers.size > 0) this.#spoken.add(id);
    }

    /** The daemon knows rooms by their names on the link; the others' sockets are to have them by their own. */
    #tellNames(rooms: readonly string[]): void {
      if (this.#peers.size === 0) return;
      const names = this.#names.news(rooms);
      if (names.length > 0) host.namespaces.forewarn(this.#nsp.name, encodeBus({ names }));
    }

    takeMoved({ conn, sid, known, what, places }: Frame<"MOVED">): void {
      const member = this.#members.get(sid);
      const isUnknown = known === MOVED_UNKNOWN;
      if (member?.ref !== conn) {
        // It may be about to be introduced; else it is gone.
        const connection = host.connectionOf(conn);
        if (isUnknown && connection) this.#moves.keep(sid, connection, { what, places });
        return;
      }
      for (const place of places) this.#moved.add(moveOf(sid, what, place));
      const later = this.#moves.unsaid(sid, isUnknown ? undefined : known, places);
      // What this worker has said of it meanwhile has replaced what the daemon did. Said before anybody hears of it here, who may have more to say.
      if (isUnknown && later.length > 0) this.#sendRooms(what === MOVEMENT.JOIN ? "JOIN" : "LEAVE", sid, member, later, true);
      this.#takeMove(sid, member, { what, places: later });
    }

    /** Obeys without saying it, as the daemon has done it. */
    #takeMove(id: string, connection: VirtualConnection, { what, places }: Moved): void {
      if (what === MOVEMENT.JOIN) this.#membership.joined(id, places);
      else if (what === MOVEMENT.LEAVE) this.#membership.left(id, places);
      else if (this.#members.get(id) === connection) this.#nsp.sockets.get(id)?.disconnect(what === MOVEMENT.CLOSE);
    }

    override persistSession(session: { sid: string; pid: string; rooms: string[]; data: unknown }): void {
      // A client that waits for the next worker was not disconnected.
      if (host.stopping === "keep" || (!this.#kept && !host.can("recovery"))) return;
      const { sid, pid, rooms } = session;
      const member = this.#members.get(sid);
      if (member?.isHandedOver) return;
      if (this.#kept) return this.#kept.save(session);
      const conn = member?.ref ?? 0;
      const [data, names] = [jsonText(this.#dataOf(sid), session.data), rooms.map(wireRoom)];
      // Said all the same, so that the daemon does not keep what it knows of it itself: as one that is as much too large, whatever a frame can say.
      const said = isSession(this.#dataOf(sid), data, names) ? { rooms: names, data } : { rooms: [], data: "{}".padEnd(SESSION_BYTES_MAX + 1) };
      host.send("SESSION_SAVE", 0, conn, { nsp: this.#number, pid, sid, ...said });
    }

    override restoreSession(pid: string, offset: string): Promise<StoredSession> {
      if (this.#kept) return Promise.resolve(this.#restoreKept(this.#kept, pid, offset) as StoredSession);
      const connection = creatingOn(this.#nsp);
      const conn = connection?.ref ?? 0;
      return new Promise((resolve) => {
        // socket.io declares that there always is one, and asks whether there is.
        const none = (): void => resolve(null as unknown as StoredSession);
        // Both are the client's words: what is longer than any that was given out is unknown.
        const isLong = [pid, offset].some((text) => typeof text !== "string" || Buffer.byteLength(text) > ID_BYTES_MAX);
        const isGone = connection !== undefined && connection.readyState !== "open";
        if (isLong || isGone || !host.hasSession || !host.can("recovery")) return none();
        const request = host.namespaces.open(SESSION_MS_MAX, {
          session: (found) => {
            host.namespaces.close(request);
            if (!found.found) return none();
            const missedPackets: unknown[][] = [];
            this.#decode(found.parts, (packet) => missedPackets.push(packet));
            resolve({ sid: found.sid, pid, rooms: [...found.rooms], data: valueOf(found.data), missedPackets });
          },
          fail: none,
        });
        host.send("SESSION_GET", 0, conn, { request, nsp: this.#number, pid, offset });
      });
    }

    /** Its packets follow when it is in: what is broadcast while middlewares run is among them. A socket is given back once. */
    #restoreKept(kept: Kept, pid: string, offset: string): StoredSession | null {
      const returning = kept.find(pid, offset);
      if (returning === undefined || this.#membership.sids.has(returning.session.sid)) return null;
      this.#returning.set(returning.session.sid, returning);
      return { ...returning.session, missedPackets: [] };
    }

    override publish(message: Asking): void {
      host.namespaces.publish(this.#nsp.name, this.#messageOf(message));
    }

    #messageOf(message: Asking): Buffer {
      return encodeBus(Object.assign(message, { uid: this.uid, nsp: this.#nsp.name }));
    }

    override doPublish(message: ClusterMessage): Promise<string> {
      host.namespaces.publish(this.#nsp.name, encodeBus(message));
      return Promise.resolve("");
    }

    /** It is not the application that calls: nobody would catch what is thrown. Whoever asked has a timeout. */
    override doPublishResponse(requester: string, response: ClusterResponse): Promise<void> {
      try {
        host.namespaces.answer(this.#nsp.name, requester, this.#encodeAnswer(response));
      } catch (error) {
        warnOfAnswer(`an answer to another worker is lost, as it cannot be said: ${String(error)}`);
      }
      return Promise.resolve();
    }

    #encodeAnswer(response: ClusterResponse): Buffer {
      try {
        return encodeBus(response);
      } catch (error) {
        if (response.type !== FETCH_SOCKETS_RESPONSE) throw error;
        // One socket's data that is no JSON must not keep back the others.
        const sockets = response.data.sockets as { id: string; data: unknown }[];
        const plain = sockets.map((socket) => ({ ...socket, data: jsonOnly(this.#dataOf(socket.id), socket.data) }));
        return encodeBus({ ...response, data: { ...response.data, sockets: plain } });
      }
    }

    /** `ack` is told of what cannot be said, and without one the caller, who sees no Promise: as of `emit`. */
    override serverSideEmit(packet: unknown[]): Promise<void> {
      const ack = packet.at(-1);
      if (typeof ack !== "function") {
        this.publish({ type: module.MessageType.SERVER_SIDE_EMIT, data: { packet } });
        return Promise.resolve();
      }
      let isTold = false;
      const tell = (...values: unknown[]): void => {
        if (isTold) return;
        isTold = true;
        ack(...values);
      };
      return super.serverSideEmit([...packet.slice(0, -1), tell]).catch((error: unknown) => {
        // What `ack` itself has thrown is the process's affair.
        if (isTold) throw error;
        tell(error, []);
      });
    }

    setPeers(instances: readonly string[]): void {
      const now = new Set(instances);
      const { HEARTBEAT, ADAPTER_CLOSE } = module.MessageType;
      // By the messages that heartbeats would have brought: requests that wait for one that left are then answered.
      for (const uid of this.#peers) {
        if (!now.has(uid)) super.onMessage({ type: ADAPTER_CLOSE, uid, nsp: this.#nsp.name });
      }
      for (const uid of now) {
        if (!this.#peers.has(uid)) this.#names.tellAnew();
        super.onMessage({ type: HEARTBEAT, uid, nsp: this.#nsp.name });
      }
      this.#peers.clear();
      for (const uid of now) this.#peers.add(uid);
    }

    lose(): void {
      if (this.#peers.size > 0) this.#kept?.forget();
      this.#moves.clear();
      this.#spoken.clear();
      this.#moved.clear();
      this.setPeers([]);
    }

    takeBus(from: string, opaque: Buffer): void {
      let message: Record<string, unknown>;
      try {
        message = decodeBus(opaque);
      } catch {
        // Another worker's fault, which is none of the daemon's: the link goes on.
        return;
      }
      if (isOrder(message)) {
        const order = orderOf(message, this.#nsp.name, module.MessageType);
        if (order) this.onMessage(order);
        return;
      }
      // Of a worker that the daemon did not name nothing is expected.
      if (!this.#peers.has(from)) return;
      const bus = message as unknown as BusMessage;
      if (bus.names !== undefined) return this.#names.take(bus.names);
      if (bus.moved === true) return this.#moveMissed(bus);
      this.#dealWith(Object.assign(bus, { uid: from, nsp: this.#nsp.name }));
    }

    #dealWith(message: BusMessage): void {
      if (message.type !== BROADCAST || message.data.requestId !== undefined) return this.onMessage(message);
      // As of this worker's own, so that it is kept for clients that come back.
      const { packet, opts: { rooms, except, flags } } = message.data;
      const opts = localOf({ rooms: new Set(rooms), except: new Set(except), flags });
      if (this.#kept && typeof message.kept === "string") void this.#broadcastKept(this.#kept, message.kept, packet as Packet, opts);
      else void this.broadcast(packet as Packet, opts);
    }

    saveData(connection: VirtualConnection): void {
      for (const [id, on] of this.#members) if (on === connection) this.#sendData(connection, this.#nsp.sockets.get(id));
    }

    /** The first join behind its connection makes a socket a member: it is when the stock adapter begins to deliver. */
    #introduce(id: string): void {
      const socket = this.#nsp.sockets.get(id);
      const connection = socket?.conn;
      if (socket === undefined || !(connection instanceof VirtualConnection)) return;
      this.#members.set(id, connection);
      hookSocketClass(socket);
      slim(socket as unknown as EventEmitter, SocketListeners);
      this.#catchUp(socket, connection);
      const data = jsonText(this.#dataOf(id), socket.data);
      // The socket's own room needs no saying.
      const rooms = [...this.#membership.sids.items(id)].filter((room) => room !== id).map(wireRoom);
      this.#moves.begin(id);
      this.#note(id);
      host.send("MEMBER", 0, connection.ref, {
        nsp: this.#number,
        sid: id,
        pid: socket.pid ?? "",
        rooms: rooms.slice(0, MEMBER_ROOMS),
        auth: jsonText({ what: "socket.handshake.auth", nsp: this.#nsp.name, sid: id }, socket.handshake.auth),
        data,
      });
      this.#sendRooms("JOIN", id, connection, rooms.slice(MEMBER_ROOMS));
      this.#giveBack(socket);
    }

    /** What became of it before: the daemon hears it again, as MEMBER replaces what it knows. */
    #catchUp({ id, recovered }: SocketInternals, connection: VirtualConnection): void {
      this.#introducing = id;
      try {
        if (recovered === true) this.#membership.restore(id);
        for (const moved of this.#moves.take(id, connection)) {
          if (moved.what === MOVEMENT.JOIN || moved.what === MOVEMENT.LEAVE) this.#takeMove(id, connection, moved);
          // Not before Socket.IO has told the application of it.
          else setImmediate(() => this.#takeMove(id, connection, moved));
        }
      } finally {
        this.#introducing = undefined;
      }
    }

    /** What a client has missed goes before the answer to its CONNECT, as with socket.io's own adapter. */
    #giveBack(socket: SocketInternals): void {
      const returning = this.#returning.get(socket.id);
      if (returning === undefined) return;
      this.#returning.delete(socket.id);
      const missed = this.#kept?.giveBack(returning);
      if (missed) for (const data of missed) socket.packet({ type: PACKET.EVENT, data });
      else socket.conn.close(true);
    }

    #sendRooms(name: "JOIN" | "LEAVE", id: string, connection: VirtualConnection, rooms: readonly string[], isEcho = false): void {
      for (let from = 0; from < rooms.length; from += LIST_MAX) {
        const some = rooms.slice(from, from + LIST_MAX).map(wireRoom);
        this.#moves.say(id, some, isEcho);
        if (!isEcho) this.#note(id);
        host.send(name, 0, connection.ref, { nsp: this.#number, rooms: some });
      }
    }

    #sendData(connection: VirtualConnection, socket: SocketInternals | undefined): void {
      host.send("SET_DATA", 0, connection.ref, { nsp: this.#number, data: jsonText(this.#dataOf(socket?.id ?? ""), socket?.data) });
    }

    #dataOf(sid: string): Owner {
      return { what: "socket.data", nsp: this.#nsp.name, sid };
    }

    /** A broadcast to this worker's clients that the daemon would give to all: each is sent it from here. */
    #isMine(opts: BroadcastOptions): boolean {
      return isLocal(opts) && !host.can("local");
    }

    #target(opts: BroadcastOptions, parts: Part[]): Fields<"BCAST"> {
      // Who is in which room is to be what the application has said by now, by whichever of its servers.
      if (opts.rooms.size + (opts.except?.size ?? 0) > 0) host.flushOthers();
      const except = [...(opts.except ?? [])].map(wireRoom);
      return { nsp: this.#number, rooms: [...opts.rooms].map(wireRoom), except, parts };
    }

    #flags(packet: Packet, flags: BroadcastFlags = {}, parts: readonly Part[]): number {
      const isAscii = parts.every(({ bytes }) => typeof bytes !== "string" || Buffer.byteLength(bytes) === bytes.length);
      // Of what waits for a daemon the link sees to whether that one can keep it: a client that is cut off while it is delivered has to be given the rest.
      const isKept =
        this.#nsp.server.opts.connectionStateRecovery !== undefined && (!host.hasSession || host.can("recovery")) &&
        host.parsesText && isRecoverable(packet, flags);
      return (
        (flags.volatile === true ? FLAG.VOLATILE : 0) |
        (flags.compress === false ? FLAG.NO_COMPRESS : 0) |
        (flags.local === true ? FLAG.LOCAL : 0) |
        (isKept ? FLAG.RECOVER : 0) |
        (isAscii ? FLAG.ASCII : 0)
      );
    }

    #encode(packet: Packet, opts: BroadcastOptions): Part[] {
      packet.nsp = this.#nsp.name;
      const encoded = this.#nsp.server.encoder.encode(packet);
      this.#tellListeners(packet, encoded, opts);
      return encoded.map((part) => (typeof part === "string" ? { binary: false, bytes: part } : { binary: true, bytes: bytesOf(part) }));
    }

    /** The daemon delivers, but `onAnyOutgoing` and `packetCreate` are heard here: one look at each member of this worker. */
    #tellListeners(packet: Packet, encoded: Encoded, opts: BroadcastOptions): void {
      if (host.overheard.size === 0) return;
      const { volatile, compress } = opts.flags ?? {};
      const [text, attachment] = encoded;
      let frame: { wsPreEncodedFrame?: Buffer[] } | undefined;
      const frameOf = () => (typeof text === "string" && attachment === undefined ? { wsPreEncodedFrame: preEncodedFrame(text) } : {});
      (this as unknown as Applied).apply(opts, (socket) => {
        if (socket._anyOutgoingListeners?.length) socket.notifyOutgoingListeners?.(packet);
        if (socket.conn.listenerCount("packetCreate") === 0) return;
        frame ??= frameOf();
        const options = { preEncoded: true, compress: compress !== false, ...(volatile === undefined ? {} : { volatile }), ...frame };
        for (const part of encoded) socket.conn.announce("message", part, options);
      });
    }

    /** Packets that clients made: one that is none is passed over, and must not keep the others back. */
    #decode(parts: readonly Part[], take: (data: unknown[]) => void): void {
      const decoderOf = (): Decoder => {
        const decoder = new this.#nsp.server._parser.Decoder();
        decoder.on("decoded", (packet) => { if (Array.isArray(packet.data)) take(packet.data); });
        return decoder;
      };
      let decoder = decoderOf();
      for (const { binary, bytes } of parts) {
        const part = Buffer.from(bytes as Uint8Array);
        try {
          decoder.add(binary ? part : part.toString());
        } catch {
          decoder = decoderOf();
        }
      }
    }
  }

  // All that chooses sockets of this worker goes by it.
  const { apply } = inMemory as unknown as Applied;
  (RingwayAdapter.prototype as unknown as Applied).apply = function applyTo(opts, callback) {
    apply.call(this, withWireNames(opts), callback);
  };

  return RingwayAdapter as unknown as AdapterClass;
}

/** Whether socket.io keeps a packet for clients that come back: what nobody could acknowledge later, and was not to be dropped. */
function isRecoverable(packet: Packet, flags: BroadcastFlags = {}): boolean {
  return packet.type === PACKET.EVENT && packet.id === undefined && flags.volatile === undefined;
}

/** That a socket was moved to a room, or out of it. */
const moveOf = (sid: string, what: number, place: string): string => `${what} ${sid} ${place}`;

const isLocal = (opts: BroadcastOptions): boolean => opts.flags?.local === true;

const localOf = (opts: BroadcastOptions): BroadcastOptions => ({ ...opts, flags: { ...opts.flags, local: true } });

/**
 * Numbers of acknowledgements, of which a namespace has one count for sockets and for broadcasts alike. The daemon's own begin at 2^30, so that these stay below. They begin anywhere, as clients
 * outlive processes: what a client answers late to a process that is gone comes to the next one, which must not have asked something else by the same number.
 */
function drawIds(nsp: NamespaceInternals): void {
  const before: unknown = Reflect.get(nsp, "_ids");
  if (typeof before !== "number" || Object.getOwnPropertyDescriptor(nsp, "_ids")?.get) return;
  let ids = randomInt(ACK_IDS);
  Object.defineProperty(nsp, "_ids", { configurable: true, enumerable: true, get: () => ids, set: (next: number) => { ids = next % ACK_IDS; } });
}

function plain(opts: BroadcastOptions): { rooms: string[]; except: string[]; flags: BroadcastFlags } {
  return { rooms: [...opts.rooms], except: [...(opts.except ?? [])], flags: opts.flags ?? {} };
}
