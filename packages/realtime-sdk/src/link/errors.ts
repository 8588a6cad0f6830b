// What a peer of a link may do wrong: the codes of docs/link.md "Errors".

/** The codes of docs/link.md "Errors", and those of this side alone. */
export type LinkErrorCode =
  | "bad-length"
  | "unknown-type"
  | "unknown-flags"
  | "truncated"
  | "trailing-bytes"
  | "bad-text"
  | "bad-json"
  | "bad-value"
  | "wrong-direction"
  | "out-of-turn"
  | "version"
  | "proof"
  | "window"
  | "not-allowed"
  | "too-many"
  // Not on the wire: the peer fell silent, or what waits for it is more than may wait.
  | "silent"
  | "queue-full"
  // Nor these: so many handlers of NestJS run as the application allows, and that it is over.
  | "handlers-full"
  | "handlers-free"
  // Of an emitter: a link was lost, and nobody knows what of the last messages was heard; or it ends, and some were not sent.
  | "unsure"
  | "unsent";

/** A fault with its name; `remote` when the peer named it, in an ERROR frame. */
export class LinkError extends Error {
  readonly code: LinkErrorCode | (string & {});
  readonly remote: boolean;

  constructor(code: LinkErrorCode | (string & {}), message: string, remote = false) {
    super(`${code}: ${message}`);
    this.name = "LinkError";
    this.code = code;
    this.remote = remote;
  }
}
