// The mirror of rooms, as `adapter.rooms` and `adapter.sids`: maps of sets, in which a set is made when somebody looks at it.
//
// Each socket is in a room of its own, and in few others. A Set for each of both directions costs more than all that the mirror says; what is small is kept
// as a list, and what has only the name that it is under as nothing at all. Whoever reads finds sets, which stay from then on.

import { inspect } from "node:util";

/** The set that has its own key, and nothing else. */
const OWN = Symbol("own");
/** Lists that are longer are sets: they are searched from the front. */
const LIST_MAX = 8;

/** How a set is kept. Lists are not changed but replaced: one that grows would reserve more than it needs. */
type Kept = typeof OWN | readonly string[] | Set<string>;

/** A map of sets of names. */
export class Mirror extends Map<string, Set<string>> {
  override get(key: string): Set<string> | undefined {
    const kept = this.#kept(key);
    if (kept === undefined || kept instanceof Set) return kept;
    const made = new Set(kept === OWN ? [key] : kept);
    super.set(key, made);
    return made;
  }

  override entries(): MapIterator<[string, Set<string>]> {
    return this.#iterate((key) => [key, this.get(key) as Set<string>]);
  }

  override values(): MapIterator<Set<string>> {
    return this.#iterate((key) => this.get(key) as Set<string>);
  }

  override [Symbol.iterator](): MapIterator<[string, Set<string>]> {
    return this.entries();
  }

  override forEach(visit: (set: Set<string>, key: string, map: Map<string, Set<string>>) => void, self?: unknown): void {
    for (const [key, set] of this) visit.call(self, set, key, this);
  }

  /** What `console.log` shows. */
  [inspect.custom](): Map<string, Set<string>> {
    return new Map(this);
  }

  /** Whether `item` is in the set of `key`. */
  holds(key: string, item: string): boolean {
    const kept = this.#kept(key);
    if (kept === undefined) return false;
    if (kept === OWN) return item === key;
    return kept instanceof Set ? kept.has(item) : kept.includes(item);
  }

  /** The items of a set, which is not made for it. */
  items(key: string): Iterable<string> {
    const kept = this.#kept(key) ?? [];
    return kept === OWN ? [key] : kept;
  }

  /** Makes sure that there is a set, perhaps an empty one. */
  open(key: string): void {
    if (!this.has(key)) this.#keep(key, []);
  }

  /** Adds an item that is not there. */
  put(key: string, item: string): void {
    const kept = this.#kept(key) ?? [];
    if (kept instanceof Set) return void kept.add(item);
    const items = kept === OWN ? [key] : kept;
    if (items.length === 0 && item === key) return this.#keep(key, OWN);
    this.#keep(key, items.length < LIST_MAX ? [...items, item] : new Set([...items, item]));
  }

  /** Takes an item out: whether it was there. */
  take(key: string, item: string): boolean {
    const kept = this.#kept(key);
    if (kept instanceof Set) return kept.delete(item);
    const wasThere = this.holds(key, item);
    if (wasThere) this.#keep(key, kept === OWN ? [] : (kept ?? []).filter((other) => other !== item));
    return wasThere;
  }

  /** Whether there is a set with nothing in it. */
  isEmpty(key: string): boolean {
    const kept = this.#kept(key);
    return kept !== undefined && kept !== OWN && (kept instanceof Set ? kept.size : kept.length) === 0;
  }

  /** The map's own iterator, which goes on over what is added meanwhile, and makes a set when its turn comes. */
  #iterate<Item>(make: (key: string) => Item): MapIterator<Item> {
    const keys = this.keys();
    const step = keys.next.bind(keys);
    const next = (): IteratorResult<Item, undefined> => {
      const { done, value } = step();
      return done === true ? { done, value: undefined } : { done: false, value: make(value as string) };
    };
    return Object.defineProperty(keys as unknown as MapIterator<Item>, "next", { value: next });
  }

  #kept(key: string): Kept | undefined {
    return super.get(key) as Kept | undefined;
  }

  #keep(key: string, kept: Kept): void {
    super.set(key, kept as unknown as Set<string>);
  }
}
