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
    // Who reads that it begins is to read that it is over, however short ago another one was.
    if (error.code === "handlers-full") this.#said.delete("handlers-free");
    process.emitWarning(`${whoseIs(error)}: ${error.message}`, { type: "RingwayWarning", code: "RINGWAY_LINK" });
  }
}

function whoseIs(error: LinkError): string {
  if (error.remote) return "the daemon has closed the link";
  return error.code.startsWith("handlers-") ? "the worker" : "the link to the daemon";
}

/** What was said once, by what it was about. */
const once = new Set<string>();
/** Applications make up keys. */
const ONCE_MAX = 64;

/** Warns of something that is the application's to mend, once of each. */
export function warnOnce(code: string, about: string, message: string): void {
  const key = `${code} ${about}`;
  if (once.has(key) || once.size >= ONCE_MAX) return;
  once.add(key);
  process.emitWarning(message, { type: "RingwayWarning", code });
}
