// What processes take of memory, while something is done to them.
import { readFileSync } from "node:fs";

export const MIB = 1 << 20;

/** Resident bytes of a process, without what it shares. */
function resident(pid) {
  const [, kilobytes] = /^RssAnon:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"));
  return Number(kilobytes) * 1024;
}

/** What a worker may have beside what a test bounds: the young generation of Node's heap (three semi-spaces of 16 MiB), and as much of machine code and of buffers that
 * its collector has not found yet. */
export const NODE_BYTES = 64 * MIB;

/** By how much a process grew at most since now, looked at again and again: what is there in the end says little of what there was. */
export function growth(pid) {
  const before = resident(pid);
  let most = before;
  const look = () => { try { most = Math.max(most, resident(pid)); } catch { /* It is gone. */ } };
  const timer = setInterval(look, 10);
  timer.unref();
  return { most: () => { look(); return most - before; }, end: () => clearInterval(timer) };
}
