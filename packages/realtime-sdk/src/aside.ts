// Telling those who listen, from within what must go on.

/** What `tell` throws is the process's affair, as with any event, and not that of who tells. */
export function aside(tell: () => void): void {
  try {
    tell();
  } catch (error) {
    process.nextTick(() => { throw error; });
  }
}
