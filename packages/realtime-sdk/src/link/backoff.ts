// How long to wait before the next attempt.

/** Bounds of the waiting time. */
export interface BackoffOptions {
  readonly min_ms: number;
  readonly max_ms: number;
  /** From 0 to 1; a seeded one in tests. */
  readonly random?: () => number;
}

/** Doubles from attempt to attempt, each time between half and all of it: workers that lost one daemon do not come back in step. */
export class Backoff {
  readonly #options: BackoffOptions;
  #attempts = 0;

  constructor(options: BackoffOptions) {
    this.#options = options;
  }

  next(): number {
    const { min_ms, max_ms, random = Math.random } = this.#options;
    const whole = Math.min(max_ms, min_ms * 2 ** Math.min(this.#attempts, 30));
    this.#attempts += 1;
    return Math.round(whole / 2 + (whole / 2) * random());
  }

  reset(): void {
    this.#attempts = 0;
  }
}
