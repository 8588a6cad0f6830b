// Faults that nobody listens to are warnings of the process: a link that is refused is tried again and again, and without a word nobody would know why.

import type { LinkError } from "./link/errors.js";

/** For how long the same is not said again. */
const AGAIN_MS = 60_000;
/** Codes that are told apart at a time. */
const CODES_MAX = 32;

/** What was said of faults. Their codes are few, and those that a daemon makes up are bounded. */
export class Warned {
  readonly #said = new Map<string, number>();

  /** Warns of a fault, once in a minute of each code. */
  tell(error: LinkError, now_ms = performance.now()): void {
    for (const [code, at_ms] of this.#said) if (now_ms >= at_ms + AGAIN_MS) this.#said.delete(code);
    if (this.#said.has(error.code) || this.#said.size >= CODES_MAX) return;
    this.#said.set(error.code, now_ms);
    const who = error.remote ? "the daemon has closed the link" : "the link to the daemon";
    process.emitWarning(`${who}: ${error.message}`, { type: "RingwayWarning", code: "RINGWAY_LINK" });
  }
}
