// The handlers that run for all clients of a worker, and which clients wait because they are too many: a database that hangs must not fill the process.
//
// A client waits when it begins one more while the bound is reached, and that one is not done by the end of the event loop's turn. Who says nothing more is
// left alone: it costs nothing more, and its acknowledgements may be what handlers wait for. So the bound is passed by one of each client, and by what had come or
// was on the way when it was told to wait.
//
// Handlers of a client that is gone count for a minute more. If they counted no longer at once, a client that comes, leaves and comes again would get round the
// bound. If they counted for ever, those that wait for its acknowledgement, which socket.io never settles then, would hold all others in the end.
//
// Deliberately absent: the bound of each client (connection.ts), which holds beside this one.

import { LinkError } from "./link/errors.js";

/** For how long the handlers of a client that is gone count. */
const GONE_MS = 60_000;

/** A client as it is seen here. */
export interface BusyClient {
  /** Handlers of its own that run. */
  readonly running: number;
  /** One that is closed is gone. */
  readonly readyState: "open" | "closing" | "closed";
  /** No more is received from it, or again. */
  wait(on: boolean): void;
}

/** What is asked of the worker. */
export interface BusyHost {
  /** Handlers that may run before clients wait. */
  readonly worker_handlers_max: number;
  fault(error: LinkError): void;
  /** Brings what clients were told on its way. */
  flush(): void;
}

/** The running handlers of one worker. */
export class Busy {
  readonly #host: BusyHost;
  readonly #now: () => number;
  /** Those of clients that are gone are among them until they are written off. */
  #running = 0;
  #isFull = false;
  /** Clients that began one in this turn of the event loop, while the bound was reached. */
  readonly #asking = new Set<BusyClient>();
  readonly #waiting = new Set<BusyClient>();
  /** Clients that are gone and have handlers running, with when they went: the first one is due first. */
  readonly #gone = new Map<BusyClient, number>();
  readonly #writtenOff = new WeakSet<BusyClient>();
  #timer: NodeJS.Timeout | undefined;

  constructor(host: BusyHost, now: () => number = () => performance.now()) {
    this.#host = host;
    this.#now = now;
  }

  /** A handler of the client's runs; the client counts it already. */
  begin(client: BusyClient): void {
    const isGone = client.readyState === "closed";
    if (isGone && this.#writtenOff.has(client)) return;
    this.#running += 1;
    // Those that hear that it goes, `disconnecting` say, begin behind its end.
    if (isGone) this.#leave(client);
    if (!this.#isFull && this.#running < this.#host.worker_handlers_max) return;
    if (!this.#isFull) this.#fill();
    if (isGone) return;
    // Most handlers are done within the turn: a client is not sent to and fro for each of these.
    if (this.#asking.size === 0) setImmediate(() => this.#look());
    this.#asking.add(client);
  }

  /** It is done; the client does not count it any more. */
  finish(client: BusyClient): void {
    if (client.readyState === "closed" && this.#writtenOff.has(client)) return;
    this.#running -= 1;
    if (client.running === 0) this.#gone.delete(client);
    // One whose own are done is not why: it goes on, though others hang for ever.
    if (client.running === 0 && this.#waiting.delete(client)) client.wait(false);
    this.#emptyAtHalf();
  }

  /** The client is gone. */
  forget(client: BusyClient): void {
    this.#asking.delete(client);
    this.#waiting.delete(client);
    if (client.running > 0) this.#leave(client);
  }

  #leave(client: BusyClient): void {
    // When it went, and not when its last handler began.
    if (this.#gone.has(client)) return;
    this.#gone.set(client, this.#now());
    this.#timer ??= this.#writeOffIn(GONE_MS);
  }

  #writeOffIn(after_ms: number): NodeJS.Timeout {
    return setTimeout(() => this.#writeOff(), after_ms).unref();
  }

  #writeOff(): void {
    this.#timer = undefined;
    const now_ms = this.#now();
    for (const [client, at_ms] of this.#gone) {
      const rest_ms = at_ms + GONE_MS - now_ms;
      if (rest_ms > 0) {
        this.#timer = this.#writeOffIn(rest_ms);
        break;
      }
      this.#gone.delete(client);
      this.#writtenOff.add(client);
      this.#running -= client.running;
    }
    this.#emptyAtHalf();
  }

  #fill(): void {
    this.#isFull = true;
    this.#host.fault(new LinkError("handlers-full", `${this.#running} handlers run: clients whose handlers do not return wait until half of them have`));
  }

  /** Not at once: a worker at its bound would send all to and fro. */
  #emptyAtHalf(): void {
    if (!this.#isFull || this.#running > this.#host.worker_handlers_max / 2) return;
    this.#isFull = false;
    const waiting = [...this.#waiting];
    this.#waiting.clear();
    for (const client of waiting) client.wait(false);
    this.#host.fault(new LinkError("handlers-free", `${this.#running} handlers run: no client waits any more`));
  }

  #look(): void {
    // Not a copy: what is told may end the session, and with it clients that are still to come here, or handlers until it is full no longer.
    for (const client of this.#asking) {
      this.#asking.delete(client);
      if (!this.#isFull || client.running === 0) continue;
      this.#waiting.add(client);
      client.wait(true);
    }
    // Not a turn later: as much as a window of the link would come before.
    this.#host.flush();
  }
}
