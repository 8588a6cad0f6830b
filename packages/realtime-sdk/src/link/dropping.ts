// Broadcasts beyond what may wait for the daemon: the newest are dropped, in one stretch, and what becomes of them is told.

import { LinkError } from "./errors.js";

/** Whether broadcasts are dropped now. */
export class Dropping {
  readonly #bytes_max: number;
  readonly #tell: (error: LinkError) => void;
  #count = 0;

  constructor(bytes_max: number, tell: (error: LinkError) => void) {
    this.#bytes_max = bytes_max;
    this.#tell = tell;
  }

  /** Whether one of `bytes` is dropped, where `keptBytes` wait. Once it begins, all are until half of what may wait is free: one gap, and not a thousand. */
  drops(keptBytes: number, bytes: number): boolean {
    if (this.#count === 0 && keptBytes + bytes <= this.#bytes_max) return false;
    if (this.#count === 0) {
      this.#tell(new LinkError("queue-full", `broadcasts are dropped: ${keptBytes} bytes wait for the daemon, which does not take them as fast as they are said`));
    }
    this.#count += 1;
    return true;
  }

  /** So much waits now. */
  look(keptBytes: number): void {
    if (this.#count === 0 || keptBytes > this.#bytes_max / 2) return;
    const count = this.#count;
    this.#count = 0;
    this.#tell(new LinkError("queue-full", `${count} broadcasts were dropped; the daemon follows again`));
  }
}
