// How the link of an application is, and where its module and its adapter meet.
//
// The adapter is made in main.ts, outside of all modules. What both of them know is the application's HttpAdapter.

import { Injectable } from "@nestjs/common";

import type { RingwayOptions } from "../attach.js";
import type { Ringway } from "../worker.js";

/**
 * `unused`: the application has no RingwayAdapter. `waiting`: it does not listen yet, or has no gateway. `connecting`: the
 * daemon was not reached so far. `down`: it was, and is looked for. `stopped`: the application was closed.
 */
export type LinkState = "unused" | "waiting" | "connecting" | "up" | "down" | "stopped";

/** A link at one moment. */
export interface LinkStatus {
  readonly state: LinkState;
  /** Where the daemon is; unknown while no gateway was served. */
  readonly url?: string;
  /** When the state began. */
  readonly since: Date;
  /** Clients of this worker, not of all. */
  readonly clients: number;
  /** What went wrong last; absent while the link is up. */
  readonly reason?: string;
}

/** The link of an application, to be injected with `RingwayModule`. */
@Injectable()
export class RingwayStatus {
  /** @internal What `RingwayModule` was given, for an adapter that was given nothing. */
  options: RingwayOptions | undefined;
  #ringway: Ringway | undefined;
  #url: string | undefined;
  #state: LinkState = "unused";
  #since = new Date();
  #reason: string | undefined;

  /** The worker behind which the application's gateways are, once there is one: for its events. */
  get ringway(): Ringway | undefined {
    return this.#ringway;
  }

  get now(): LinkStatus {
    return {
      state: this.#state,
      since: this.#since,
      clients: this.#ringway?.engine.clientsCount ?? 0,
      ...(this.#url === undefined ? {} : { url: this.#url }),
      ...(this.#reason === undefined ? {} : { reason: this.#reason }),
    };
  }

  /** @internal An adapter was made. */
  used(): void {
    this.#enter("waiting");
  }

  /** @internal */
  watch(ringway: Ringway, url: string): void {
    this.#ringway = ringway;
    this.#url = url;
    ringway.on("open", () => this.#enter("up"));
    ringway.on("down", (cause) => this.#enter("down", cause));
    ringway.on("retry", (cause) => this.#enter(this.#state === "connecting" ? "connecting" : "down", cause));
    // Not `fault`: it comes as the cause of `retry`, too, and where nobody listens the process warns of it.
  }

  /** @internal */
  started(): void {
    this.#enter("connecting");
  }

  /** @internal */
  stopped(): void {
    this.#enter("stopped");
  }

  #enter(state: LinkState, cause?: Error): void {
    if (this.#state === "stopped" && state !== "connecting") return;
    if (state !== this.#state) this.#since = new Date();
    this.#state = state;
    this.#reason = cause?.message;
  }
}

const applications = new WeakMap<object, RingwayStatus>();

/** The status of the application with this HttpAdapter. */
export function statusOf(httpAdapter: object): RingwayStatus {
  const known = applications.get(httpAdapter);
  if (known !== undefined) return known;
  const status = new RingwayStatus();
  applications.set(httpAdapter, status);
  return status;
}
