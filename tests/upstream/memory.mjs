// What processes take of memory, while something is done to them.
import { readFileSync } from "node:fs";

export const MIB = 1 << 20;

/** Resident bytes of a process, without what it shares. */
function resident(pid) {
  const [, kilobytes] = /^RssAnon:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"));
  return Number(kilobytes) * 1024;
}

/** What a process of Node's may take beside what it has in its hands: the young generation of its heap, which is three semi-spaces of 16 MiB. */
export const YOUNG_BYTES = 3 * 16 * MIB;
/** And of buffers that it has let go of, however many come: V8 collects when it has so many bytes outside of its heap. */
export const BUFFERS_BYTES = 64 * MIB;

/** By how much a process grew at most since now, looked at again and again: what is there in the end says little of what there was. */
export function growth(pid) {
  const before = resident(pid);
  let most = before;
  const look = () => { try { most = Math.max(most, resident(pid)); } catch { /* It is gone. */ } };
  const timer = setInterval(look, 10);
  timer.unref();
  return { most: () => { look(); return most - before; }, end: () => clearInterval(timer) };
}
