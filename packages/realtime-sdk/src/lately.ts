// What was said of late: a set that forgets by itself.

/** What was added within the last one to two of these. */
const SPAN_MS = 1_000;

/** Keys of the last second or two. */
export class Lately {
  #recent = new Set<string>();
  #older = new Set<string>();
  #timer: NodeJS.Timeout | undefined;

  add(key: string): void {
    this.#recent.add(key);
    this.#timer ??= setInterval(() => this.#turn(), SPAN_MS).unref();
  }

  has(key: string): boolean {
    return this.#recent.has(key) || this.#older.has(key);
  }

  delete(key: string): void {
    this.#recent.delete(key);
    this.#older.delete(key);
  }

  keys(): Set<string> {
    return new Set([...this.#older, ...this.#recent]);
  }

  clear(): void {
    this.#recent.clear();
    this.#older.clear();
  }

  #turn(): void {
    this.#older = this.#recent;
    this.#recent = new Set();
    if (this.#older.size > 0) return;
    clearInterval(this.#timer);
    this.#timer = undefined;
  }
}
