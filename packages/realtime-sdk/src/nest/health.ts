// The link as a health indicator: of the shape that @nestjs/terminus knows, without needing it.

import { Inject, Injectable } from "@nestjs/common";

import { RingwayStatus, type LinkState } from "./status.js";

/** A result that `HealthCheckService.check([...])` takes. */
export type RingwayHealth<Key extends string = string> = Record<Key, {
  status: "up" | "down";
  state: LinkState;
  since: string;
  clients: number;
  url?: string;
  reason?: string;
}>;

/** Whether the daemon is reached. */
@Injectable()
export class RingwayHealthIndicator {
  readonly #status: RingwayStatus;

  constructor(@Inject(RingwayStatus) status: RingwayStatus) {
    this.#status = status;
  }

  /** Up while the link is, or when none is wanted. It never throws: terminus 11 and later look at the status. */
  isHealthy<const Key extends string = "ringway">(key: Key = "ringway" as Key): RingwayHealth<Key> {
    const { since, ...now } = this.#status.now;
    const isUp = now.state === "up" || now.state === "unused";
    const health = { status: isUp ? "up" : "down", ...now, since: since.toISOString() } as const;
    return { [key]: health } as RingwayHealth<Key>;
  }
}
