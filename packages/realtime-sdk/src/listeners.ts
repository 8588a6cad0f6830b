// The listeners of emitters of which there is one for each client.
//
// Node keeps them in an object without a prototype, which V8 makes a hash table of 150 bytes and more. In an object of a class they are fields, as all
// clients have listeners for the same events: a third of that.

import type { EventEmitter } from "node:events";

/** Listeners by their event, as Node keeps them. */
type Kept = Record<string | symbol, unknown>;

/** Makes a class of such objects; those of one class should have the same events. */
export function listenersClass(): new () => object {
  function Listeners(): void {}
  Listeners.prototype = Object.create(null);
  return Listeners as unknown as new () => object;
}

/** Keeps the listeners of an emitter in an object of `Listeners` from now on. */
export function slim(emitter: EventEmitter, Listeners: new () => object): void {
  const holder = emitter as unknown as { _events?: Kept };
  const before = holder._events;
  // Not one that keeps them in some other way.
  if (before === undefined || Object.getPrototypeOf(before) !== null) return;
  const after = new Listeners() as Kept;
  for (const event of Reflect.ownKeys(before)) after[event] = before[event];
  holder._events = after;
}
