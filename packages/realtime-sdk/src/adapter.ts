// The adapter of `io.adapter()`: rooms are mirrored here, as `socket.rooms` is asked synchronously, and broadcasts are executed
// by the daemon, which knows the members of all workers.
//
// What needs the sockets of other workers (fetchSockets, socketsJoin, serverSideEmit…) is ClusterAdapter's own, over BUS.

import { randomInt } from "node:crypto";
import type { EventEmitter } from "node:events";

import type {
  BroadcastFlags, BroadcastOptions, ClusterAdapterWithHeartbeat, ClusterMessage, ClusterResponse, Session as StoredSession,
} from "socket.io-adapter";

import { decodeBus, encodeBus } from "./bus.js";
import { bytesOf, VirtualConnection } from "./connection.js";
import { isSession, jsonOnly, jsonText, SESSION_BYTES_MAX, type Owner } from "./data.js";
import { Fence } from "./fence.js";
import { preEncodedFrame } from "./frame.js";
import {
  PACKET, valueOf, type Decoder, type Encoded, type NamespaceInternals, type Packet, type SocketInternals,
} from "./internals.js";
import { FLAG, type Conn, type Fields, type FrameName, type Part } from "./link/frames.js";
import { Kept, type Returning } from "./kept.js";
import { Line, type Audience } from "./line.js";
import { listenersClass, slim } from "./listeners.js";
import { Mirror } from "./mirror.js";
import { warnOfAnswer, type Namespaces, type NamespaceAdapter } from "./namespaces.js";
import type { Capability } from "./needs.js";
import { isOrder, orderOf } from "./order.js";
import { hookSocketClass } from "./overhear.js";
import { creatingOn, hookNamespace } from "./resume.js";
import { isRenamed, withWireNames, wireRoom } from "./rooms.js";

/** The application's own copy of socket.io-adapter. */
export type AdapterModule = Pick<typeof import("socket.io-adapter"), "Adapter" | "ClusterAdapterWithHeartbeat" | "MessageType">;

/** What adapters ask of the worker. */
export interface AdapterHost {
  readonly instance: string;
  readonly namespaces: Namespaces;
  /** Whether the daemon is there, or was a moment ago. */
  readonly hasSession: boolean;
  /** Whether packets are Socket.IO's text: the daemon adds ids and offsets to those only. */
  readonly parsesText: boolean;
  /** Whether the daemon has an optional part of the protocol. */
  can(capability: Capability): boolean;
  /** Connections whose listeners are told of broadcasts. */
  readonly overheard: ReadonlySet<VirtualConnection>;
  /** Set while the worker stops: whether its clients wait for the next one. */
  readonly stopping: "keep" | "close" | undefined;
  send<Name extends FrameName>(name: Name, flags: number, conn: Conn, fields: Fields<Name>): void;
}

/** A class that `io.adapter()` takes. */
export type AdapterClass = new (nsp: never) => InstanceType<AdapterModule["Adapter"]>;

/** A message between adapters; those that are numbered are answered with `passed` once they are dealt with (fence.ts); `kept` is an offset (kept.ts). */
type BusMessage = ClusterMessage & { readonly fence?: unknown; readonly passed?: unknown; readonly kept?: unknown };

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
  /** What changes which clients hear what comes next, or is heard itself. */
  const changing: ReadonlySet<number> = new Set([BROADCAST, SOCKETS_JOIN, SOCKETS_LEAVE, DISCONNECT_SOCKETS]);

  /** What a message changes, if it is rooms alone. */
  function roomsOf(message: ClusterMessage): { joins?: string[]; leaves?: string[] } {
    if (message.type === SOCKETS_JOIN) return { joins: message.data.rooms.map(wireRoom) };
    return message.type === SOCKETS_LEAVE ? { leaves: message.data.rooms.map(wireRoom) } : {};
  }

  class RingwayAdapter extends module.ClusterAdapterWithHeartbeat implements NamespaceAdapter {
    readonly #nsp: NamespaceInternals;
    readonly #number: number;
    /** Sockets that the daemon knows, with the connection that they are on. */
    readonly #members = new Map<string, VirtualConnection>();
    readonly #peers = new Set<string>();
    readonly #fence = new Fence();
    readonly #line = new Line(this.#fence);
    readonly #rooms = new Mirror();
    readonly #sids = new Mirror();
    /** What the daemon keeps of others: packets of a parser of one's own for clients that come back, by their sockets' ids. */
    readonly #kept: Kept | undefined;
    readonly #returning = new Map<string, Returning>();

    constructor(nsp: NamespaceInternals) {
      super(nsp, {});
      this.rooms = this.#rooms;
      this.sids = this.#sids;
      this.#nsp = nsp;
      // Who else is there is said by the daemon (PEERS): no heartbeats, and no timer that looks for missing ones.
      clearInterval(Reflect.get(this, "cleanupTimer") as NodeJS.Timeout | undefined);
      // One name of the worker for all its namespaces, as the daemon routes by it.
      Object.assign(this, { uid: host.instance });
      this.#number = host.namespaces.add(nsp.name, this);
      const recovery = nsp.server.opts.connectionStateRecovery;
      if (recovery && !host.parsesText) this.#kept = new Kept(recovery.maxDisconnectionDuration);
      hookNamespace(nsp);
      drawIds(nsp);
    }

    override init(): void {}

    override close(): void {
      this.#line.flush();
      if (host.stopping === undefined) host.namespaces.remove(this.#nsp.name, this);
    }

    override serverCount(): Promise<number> {
      return Promise.resolve(1 + this.#peers.size);
    }

    override addAll(id: string, rooms: Set<string>): void {
      const added: string[] = [];
      this.#spare(id);
      this.#sids.open(id);
      for (const room of rooms) if (this.#enter(id, room)) added.push(room);
      const connection = this.#members.get(id);
      if (connection) this.#sendRooms("JOIN", connection, added);
      else this.#introduce(id);
    }

    /** Whether the socket was not in the room. The events are those of socket.io-adapter, in its order. */
    #enter(id: string, room: string): boolean {
      if (this.#sids.holds(id, room)) return false;
      // It was in it by the name that another worker gave it.
      if (isRenamed(room)) this.#exit(id, wireRoom(room));
      this.#sids.put(id, room);
      const isNew = !this.#rooms.has(room);
      this.#rooms.open(room);
      if (isNew) this.emit("create-room", room);
      if (this.#rooms.holds(room, id)) return true;
      this.#rooms.put(room, id);
      this.emit("join-room", room, id);
      return true;
    }

    override del(id: string, room: string): void {
      this.#spare(id);
      let had = this.#exit(id, room);
      if (isRenamed(room) && this.#exit(id, wireRoom(room))) had = true;
      const connection = this.#members.get(id);
      if (connection && had) this.#sendRooms("LEAVE", connection, [room]);
    }

    /** Whether the socket was in the room. */
    #exit(id: string, room: string): boolean {
      const had = this.#sids.take(id, room);
      this.#leave(room, id);
      return had;
    }

    #leave(room: string, id: string): void {
      if (this.#rooms.take(room, id)) this.emit("leave-room", room, id);
      // Whoever heard of it may have joined somebody.
      if (this.#rooms.isEmpty(room) && this.#rooms.delete(room)) this.emit("delete-room", room);
    }

    override delAll(id: string): void {
      for (const room of this.#sids.items(id)) this.#leave(room, id);
      this.#sids.delete(id);
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
        if (!isAlone) this.publish({ type: module.MessageType.BROADCAST, data: { packet, opts: plain(opts) }, kept: offset } as never);
        return this.#broadcastKept(this.#kept, offset, packet, isAlone ? opts : localOf(opts));
      }
      if (this.#isMine(opts)) {
        inMemory.broadcast.call(this, packet, opts);
        return Promise.resolve();
      }
      const parts = this.#encode(packet, opts);
      const [flags, target] = [this.#flags(packet, opts.flags, parts), this.#target(opts, parts)];
      if (isLocal(opts) || !this.#waits(target) || !this.#hold(opts, flags, target)) host.send("BCAST", flags, 0, target);
      return Promise.resolve();
    }

    /** Whether what is said to those of others has to wait. */
    #waits(audience: Audience): boolean {
      return host.stopping === undefined && this.#line.holds(audience);
    }

    /** Tells this worker's sockets, and the others in their turn. `false`: it is to be said to all, now. */
    #hold(opts: BroadcastOptions, flags: number, target: Fields<"BCAST">): boolean {
      const own: string[] = [];
      (this as unknown as Applied).apply(opts, ({ id }) => own.push(id));
      // Others' memory, that may be another's by then.
      const parts = target.parts.map(({ binary, bytes }) => ({ binary, bytes: typeof bytes === "string" ? bytes : Buffer.from(bytes) }));
      const { nsp, rooms, except } = target;
      return this.#line.broadcast({
        rooms,
        except,
        own,
        bytes: [...rooms, ...except, ...own, ...parts.map(({ bytes }) => bytes)].reduce((sum, { length }) => sum + length, 0),
        say: (audience) => host.send("BCAST", flags, 0, { nsp, rooms: [...audience.rooms], except: [...audience.except], parts }),
      });
    }

    /** A socket is about to be in other rooms than when what waits was said. */
    #spare(id: string): void {
      if (!this.#line.isEmpty && this.#members.has(id)) this.#line.spare(id, this.#wireRooms(id));
    }

    #wireRooms(id: string): Set<string> {
      return new Set([...this.#sids.items(id)].map(wireRoom));
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
      // The daemon cannot put its own id into a packet that it cannot read, nor wait for what others were asked.
      const isBehind = !isLocal(opts) && this.#waits(this.#target(opts, []));
      if (this.#isMine(opts) || isBehind || !host.parsesText || !host.can("ackgather") || host.namespaces.openRequests >= ASKED_MAX) {
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
      return this.#publishUnlessLocal(opts, { type: module.MessageType.SOCKETS_JOIN, data: { opts: plain(opts), rooms } });
    }

    override delSockets(opts: BroadcastOptions, rooms: string[]): Promise<void> {
      inMemory.delSockets.call(this, opts, rooms);
      return this.#publishUnlessLocal(opts, { type: module.MessageType.SOCKETS_LEAVE, data: { opts: plain(opts), rooms } });
    }

    override disconnectSockets(opts: BroadcastOptions, close: boolean): Promise<void> {
      // Said first: a handler of `disconnect` here may take what others select by.
      const published = this.#publishUnlessLocal(opts, {
        type: module.MessageType.DISCONNECT_SOCKETS,
        data: { opts: plain(opts), close },
      });
      inMemory.disconnectSockets.call(this, opts, close);
      return published;
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
        const isLong = Buffer.byteLength(pid) > ID_BYTES_MAX || Buffer.byteLength(offset) > ID_BYTES_MAX;
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
      if (returning === undefined || this.#sids.has(returning.session.sid)) return null;
      this.#returning.set(returning.session.sid, returning);
      return { ...returning.session, missedPackets: [] };
    }

    override publish(message: Parameters<ClusterAdapterWithHeartbeat["publish"]>[0]): void {
      Object.assign(message, { uid: this.uid, nsp: this.#nsp.name });
      const isAsked = this.#peers.size > 0 && changing.has(message.type);
      if (isAsked) Object.assign(message, { fence: this.#fence.next });
      const opaque = encodeBus(message);
      const rooms = roomsOf(message as ClusterMessage);
      const say = (): void => host.namespaces.publish(this.#nsp.name, opaque);
      this.#line.message({ ...rooms, bytes: opaque.length, say });
      // What is said to clients behind this must not overtake it.
      if (isAsked) this.#fence.raise(rooms.joins ?? rooms.leaves);
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
        if (now.has(uid)) continue;
        this.#fence.remove(uid);
        super.onMessage({ type: ADAPTER_CLOSE, uid, nsp: this.#nsp.name });
      }
      for (const uid of now) {
        this.#fence.add(uid);
        super.onMessage({ type: HEARTBEAT, uid, nsp: this.#nsp.name });
      }
      this.#peers.clear();
      for (const uid of now) this.#peers.add(uid);
      this.#line.advance();
    }

    said(): Promise<void> | undefined {
      return this.#line.said();
    }

    stop(): void {
      this.#line.flush();
    }

    lose(): void {
      if (this.#peers.size > 0) this.#kept?.forget();
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
      if (typeof bus.passed === "number") {
        this.#fence.pass(from, bus.passed);
        return this.#line.advance();
      }
      this.#dealWith(Object.assign(bus, { uid: from, nsp: this.#nsp.name }));
      // What it did here is said to the daemon already: what the other one says behind this comes behind it.
      if (typeof bus.fence === "number") host.namespaces.answer(this.#nsp.name, from, encodeBus({ passed: bus.fence }));
    }

    #dealWith(message: BusMessage): void {
      if (message.type !== module.MessageType.BROADCAST || message.data.requestId !== undefined) return this.onMessage(message);
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
      const data = jsonText(this.#dataOf(id), socket.data);
      // The socket's own room needs no saying.
      const rooms = [...this.#sids.items(id)].filter((room) => room !== id).map(wireRoom);
      host.send("MEMBER", 0, connection.ref, {
        nsp: this.#number,
        sid: id,
        pid: socket.pid ?? "",
        rooms: rooms.slice(0, MEMBER_ROOMS),
        auth: jsonText({ what: "socket.handshake.auth", nsp: this.#nsp.name, sid: id }, socket.handshake.auth),
        data,
      });
      this.#sendRooms("JOIN", connection, rooms.slice(MEMBER_ROOMS));
      this.#giveBack(socket);
      // Whoever comes back, or from another worker, has a claim to what was said before.
      if (socket.recovered === true) this.#line.catchUp(id, this.#wireRooms(id));
      else this.#line.spare(id);
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

    #sendRooms(name: "JOIN" | "LEAVE", connection: VirtualConnection, rooms: readonly string[]): void {
      for (let from = 0; from < rooms.length; from += LIST_MAX) {
        const some = rooms.slice(from, from + LIST_MAX).map(wireRoom);
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

    #publishUnlessLocal(opts: BroadcastOptions, message: Parameters<typeof this.publish>[0]): Promise<void> {
      if (!isLocal(opts)) this.publish(message);
      return Promise.resolve();
    }

    #target(opts: BroadcastOptions, parts: Part[]): Fields<"BCAST"> {
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
