// What happens to a client's event: from the socket to the handlers of gateways, and from what they return to the client.
//
// NestJS builds a pipeline of rxjs for each handler of each socket. Here a listener is made once per event name and serves all
// sockets; a socket has its list of handlers, and streams only while it is owed something of them. What is the same: which
// arguments are data and which is the acknowledgement; values, promises and observables; `{ event, data }` is an event, all
// else an acknowledgement, null and undefined are nothing; a socket that is gone is answered no more, and its observables are
// unsubscribed. What is different: an exception that no filter took is logged, and the process lives (as with NestJS 12).

import { Logger } from "@nestjs/common";
import type { IoAdapter } from "@nestjs/platform-socket.io";
import { isObservable, Subscription, type Observable } from "rxjs";

type Bound = Parameters<IoAdapter["bindMessageHandlers"]>;
export type NestSocket = Bound[0];
export type Handlers = Bound[1];
type Handler = Handlers[number];
type Listener = (this: NestSocket, ...values: unknown[]) => void;
/** What an event brought: data, and how it is acknowledged. */
type Payload = ReturnType<IoAdapter["mapPayload"]>;

/** While a handler runs its client does not go to another worker, and counts as busy. One that gives an Observable runs until that has given its first
 * value, or has ended: with an interceptor NestJS makes one of every handler, which does nothing before it is listened to. What comes later is not waited for. */
interface Counting {
  begin?(): void;
  finish?(): void;
}

/** Who listens to an Observable; `first` is called once, behind its first value or when it is over, however that came. */
interface Follower {
  next(value: unknown): void;
  error(error: unknown): void;
  first(): void;
}

/** The handlers of one socket. */
class Listening {
  handlers: Handlers = [];
  isGone = false;
  #streams: Subscription | undefined;

  has(message: unknown): boolean {
    return this.handlers.some((handler) => handler.message === message);
  }

  follow(stream: Observable<unknown>, follower: Follower): void {
    let isFirst = true;
    const first = (): void => {
      if (isFirst) follower.first();
      isFirst = false;
    };
    const next = (value: unknown): void => {
      follower.next(value);
      first();
    };
    // It forgets by itself the ones that end.
    this.#streams ??= new Subscription();
    try {
      const subscription = stream.subscribe({ next, error: (error: unknown) => follower.error(error) });
      subscription.add(first);
      this.#streams.add(subscription);
    } catch (error) {
      // There is nothing that could end, a Subject that was unsubscribed say; its first value may have come before.
      first();
      throw error;
    }
  }

  leave(): void {
    this.isGone = true;
    this.#streams?.unsubscribe();
  }
}

/** Brings the events of all sockets of an adapter to their handlers. */
export class Dispatch {
  readonly #payloadOf: (values: unknown) => Payload;
  readonly #logger = new Logger("RingwayAdapter");
  readonly #sockets = new WeakMap<NestSocket, Listening>();
  readonly #listeners = new Map<unknown, Listener>();
  readonly #leave: Listener;

  constructor(payloadOf: (values: unknown) => Payload) {
    this.#payloadOf = payloadOf;
    const sockets = this.#sockets;
    this.#leave = function leave() { sockets.get(this)?.leave(); };
  }

  /** Adds the handlers of a gateway; several of them may share a socket, and an event. */
  bind(socket: NestSocket, handlers: Handlers): void {
    const listening = this.#listeningOf(socket);
    for (const message of new Set(handlers.map((handler) => handler.message as unknown))) {
      if (!listening.has(message)) socket.on(message as string, this.#listenerOf(message));
    }
    listening.handlers = listening.handlers.length === 0 ? handlers : [...listening.handlers, ...handlers];
  }

  #listeningOf(socket: NestSocket): Listening {
    const known = this.#sockets.get(socket);
    if (known !== undefined) return known;
    const listening = new Listening();
    this.#sockets.set(socket, listening);
    socket.on("disconnect", this.#leave);
    return listening;
  }

  #listenerOf(message: unknown): Listener {
    const known = this.#listeners.get(message);
    if (known !== undefined) return known;
    const receive = this.#receive.bind(this);
    const listener: Listener = function listen(...values) { receive(this, message, values); };
    this.#listeners.set(message, listener);
    return listener;
  }

  #receive(socket: NestSocket, message: unknown, values: unknown[]): void {
    const listening = this.#sockets.get(socket);
    if (listening === undefined || listening.isGone) return;
    const payload = values.length > 1 ? values : values[0];
    for (const handler of listening.handlers) {
      if (handler.message === message) void this.#run(socket, listening, handler, payload);
    }
  }

  async #run(socket: NestSocket, listening: Listening, handler: Handler, payload: unknown): Promise<void> {
    const connection = socket.conn as Counting | undefined;
    connection?.begin?.();
    let isFollowed = false;
    try {
      const { data, ack } = this.#payloadOf(payload);
      const result: unknown = await handler.callback(data, ack);
      if (listening.isGone) return;
      if (!isObservable(result)) return answer(socket, handler, ack, result);
      const next = (value: unknown): void => this.#attempt(() => {
        if (!listening.isGone) answer(socket, handler, ack, value);
      });
      isFollowed = true;
      listening.follow(result, { next, error: (error) => this.#logger.error(error), first: () => connection?.finish?.() });
    } catch (error) {
      this.#logger.error(error);
    } finally {
      if (!isFollowed) connection?.finish?.();
    }
  }

  #attempt(body: () => void): void {
    try {
      body();
    } catch (error) {
      this.#logger.error(error);
    }
  }
}

/** What a handler gave, to the client. */
function answer(socket: NestSocket, handler: Handler, ack: Payload["ack"], response: unknown): void {
  if (response === undefined || response === null) return;
  const { event, data } = response as { event?: string; data?: unknown };
  if (event) socket.emit(event, data);
  else if (!handler.isAckHandledManually) ack?.(response);
}
