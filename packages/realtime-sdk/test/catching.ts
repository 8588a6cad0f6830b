// What is thrown where nobody catches it: the test runner's own listener would take it for a failure.

/** The messages of what is thrown until `end`. */
export function catching(): { readonly messages: string[]; end(): void } {
  const listeners = process.listeners("uncaughtException");
  process.removeAllListeners("uncaughtException");
  const messages: string[] = [];
  process.on("uncaughtException", (error) => messages.push(error.message));
  const end = (): void => {
    process.removeAllListeners("uncaughtException");
    for (const listener of listeners) process.on("uncaughtException", listener);
  };
  return { messages, end };
}
