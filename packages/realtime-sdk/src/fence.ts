// What other workers were asked to do to their sockets is done when they say so. Until then what is broadcast takes the same way as what they were
// asked, and so stands behind it: `io.socketsJoin("room")` and then `io.to("room").emit()` reaches the sockets of all workers.
//
// Deliberately absent: what is asked, and the messages themselves (adapter.ts).

/** How long another worker may take: one whose loop stands still must not keep the broadcasts of all others on the long way. */
const STANDS_MS_MAX = 2_000;

/** Messages to the other workers of a namespace, numbered, and how far each of them has come. */
export class Fence {
  readonly #passed = new Map<string, number>();
  readonly #now: () => number;
  #last = 0;
  /** The last number that nobody is waited for any more. */
  #over = 0;
  #since_ms = 0;

  constructor(now: () => number = () => performance.now()) {
    this.#now = now;
  }

  /** The number of one more message that the others must deal with. */
  raise(): number {
    // What stood so far may have been dealt with since somebody looked, or be too late.
    if (!this.stands) this.#since_ms = this.#now();
    this.#last += 1;
    return this.#last;
  }

  /** A worker has dealt with a message, and with all before it. */
  pass(peer: string, number: number): void {
    const passed = this.#passed.get(peer);
    if (passed !== undefined && number <= this.#last) this.#passed.set(peer, Math.max(passed, number));
  }

  /** A worker that comes was asked nothing. */
  add(peer: string): void {
    if (!this.#passed.has(peer)) this.#passed.set(peer, this.#last);
  }

  remove(peer: string): void {
    this.#passed.delete(peer);
  }

  /** Whether somebody has not dealt with all that was asked. */
  get stands(): boolean {
    if (this.#over === this.#last) return false;
    const isLate = this.#now() - this.#since_ms > STANDS_MS_MAX;
    if (isLate || [...this.#passed.values()].every((passed) => passed === this.#last)) this.#over = this.#last;
    return this.#over !== this.#last;
  }
}
