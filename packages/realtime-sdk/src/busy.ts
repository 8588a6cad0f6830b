// The handlers that run for all clients of a worker, and which clients wait because they are too many: a database that hangs must not fill the process.
//
// A client waits when it begins one more while the bound is reached, and that one is not done by the end of the event loop's turn. Who says nothing more is
// left alone: it costs nothing more, and its acknowledgements may be what handlers wait for. So the bound is passed by one of each client, and by what had come or
// was on the way when it was told to wait.
//
// Deliberately absent: the bound of each client (connection.ts), which holds beside this one.

import { LinkError } from "./link/errors.js";

/** A client as it is seen here. */
export interface BusyClient {
  /** Handlers of its own that run. */
  readonly running: number;
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
  /** Those of clients that are gone are among them: they run on. */
  #running = 0;
  #isFull = false;
  /** Clients that began one in this turn of the event loop, while the bound was reached. */
  readonly #asking = new Set<BusyClient>();
  readonly #waiting = new Set<BusyClient>();

  constructor(host: BusyHost) {
    this.#host = host;
  }

  /** A handler of the client's runs; the client counts it already. */
  begin(client: BusyClient): void {
    this.#running += 1;
    if (!this.#isFull && this.#running < this.#host.worker_handlers_max) return;
    if (!this.#isFull) this.#fill();
    // Most handlers are done within the turn: a client is not sent to and fro for each of these.
    if (this.#asking.size === 0) setImmediate(() => this.#look());
    this.#asking.add(client);
  }

  /** It is done; the client does not count it any more. */
  finish(client: BusyClient): void {
    this.#running -= 1;
    // One whose own are done is not why: it goes on, though others hang for ever.
    if (client.running === 0 && this.#waiting.delete(client)) client.wait(false);
    // Not at once: a worker at its bound would send all to and fro.
    if (this.#isFull && this.#running <= this.#host.worker_handlers_max / 2) this.#empty();
  }

  /** The client is gone. */
  forget(client: BusyClient): void {
    this.#asking.delete(client);
    this.#waiting.delete(client);
  }

  #fill(): void {
    this.#isFull = true;
    this.#host.fault(new LinkError("handlers-full", `${this.#running} handlers run: clients whose handlers do not return wait until half of them have`));
  }

  #empty(): void {
    this.#isFull = false;
    const waiting = [...this.#waiting];
    this.#waiting.clear();
    for (const client of waiting) client.wait(false);
    this.#host.fault(new LinkError("handlers-full", `${this.#running} handlers run: no client waits any more`));
  }

  #look(): void {
    const asking = [...this.#asking];
    this.#asking.clear();
    if (!this.#isFull) return;
    for (const client of asking.filter(({ running }) => running > 0)) {
      this.#waiting.add(client);
      client.wait(true);
    }
    // Not a turn later: as much as a window of the link would come before.
    this.#host.flush();
  }
}
