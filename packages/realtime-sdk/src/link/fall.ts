// What is said before an exception ends the process: there is no turn of the event loop any more, but a socket is written to at once.

/** Exceptions of a process that goes on after them: not each is worth a word. */
const AGAIN_MS = 100;

const speakers = new Set<() => void>();
let spoke_ms = -Infinity;

function speak(): void {
  const now_ms = performance.now();
  if (now_ms < spoke_ms + AGAIN_MS) return;
  spoke_ms = now_ms;
  for (const say of speakers) say();
}

/**
 * Calls `say` when an exception that nobody caught, or a rejection, ends the process, or would if nobody listened for it. It changes nothing about what becomes of the process.
 *
 * @returns what takes that back
 */
export function beforeFall(say: () => void): () => void {
  if (speakers.size === 0) process.on("uncaughtExceptionMonitor", speak);
  speakers.add(say);
  return () => {
    speakers.delete(say);
    if (speakers.size === 0) process.off("uncaughtExceptionMonitor", speak);
  };
}
