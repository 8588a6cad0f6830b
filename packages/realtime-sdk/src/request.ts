// The HTTP request that a client came with, as far as Socket.IO and its applications look at it.
//
// Deliberately absent: the raw socket, the body and their events. It is no http.IncomingMessage, as no HTTP was parsed here.

import type { IncomingHttpHeaders } from "node:http";
import { parse, type ParsedUrlQuery } from "node:querystring";

import { intern } from "./intern.js";

/** What frames say of a request. */
export interface RequestLine {
  readonly method: string;
  readonly url: string;
  readonly headers: readonly (readonly [string, string])[];
  readonly address: string;
  readonly secure: boolean;
}

/** What `request.socket` knows: the daemon owns the rest. */
export interface VirtualSocket {
  readonly remoteAddress: string;
  readonly encrypted: boolean;
}

/** Of these Node keeps the first, as a second one is a fault or an attack. */
const FIRST_ONLY = new Set([
  "age", "authorization", "content-length", "content-type", "etag", "expires", "from", "host", "if-modified-since",
  "if-unmodified-since", "last-modified", "location", "max-forwards", "proxy-authorization", "referer", "retry-after",
  "server", "user-agent",
]);

/** These are every client's own. */
const UNLIKE = new Set(["authorization", "cookie", "sec-websocket-key"]);

/** Header names in lower case, repeated ones joined as Node joins them. */
export function joinHeaders(pairs: readonly (readonly [string, string])[]): IncomingHttpHeaders {
  const headers: IncomingHttpHeaders = {};
  for (const [name, text] of pairs) {
    const key = name.toLowerCase();
    const value = UNLIKE.has(key) ? text : intern(text);
    const before = headers[key];
    if (key === "set-cookie") headers[key] = [...(headers[key] ?? []), value];
    else if (before === undefined) headers[key] = value;
    else if (!FIRST_ONLY.has(key)) headers[key] = `${String(before)}${key === "cookie" ? "; " : ", "}${value}`;
  }
  return headers;
}

/** Names of headers, which are the same for all clients of a kind: each list once. */
const nameLists = new Map<string, readonly string[]>();
const NAME_LISTS_MAX = 1024;

function namesOf(pairs: RequestLine["headers"]): readonly string[] {
  const names = pairs.map(([name]) => name);
  // No header has a line break in its name.
  const key = names.join("\n");
  const known = nameLists.get(key);
  if (known === undefined && nameLists.size < NAME_LISTS_MAX) nameLists.set(key, names);
  return known ?? names;
}

/** The request behind a connection. Middlewares may add to it, as they do to Node's. */
export class VirtualRequest {
  readonly method: string;
  readonly url: string;
  readonly headers: IncomingHttpHeaders;
  /** Names as they were written, or names and values where a name is there more than once. */
  readonly #raw: readonly string[];
  readonly #isPlain: boolean;
  socket: VirtualSocket;
  /** Socket.IO's name for the query, which becomes `handshake.query`. */
  readonly _query: ParsedUrlQuery;
  [added: string]: unknown;

  constructor(line: RequestLine) {
    this.method = intern(line.method);
    this.url = intern(line.url);
    this.headers = joinHeaders(line.headers);
    this.#isPlain = Object.keys(this.headers).length === line.headers.length && this.headers["set-cookie"] === undefined;
    this.#raw = this.#isPlain ? namesOf(line.headers) : line.headers.flat();
    this.socket = { remoteAddress: line.address, encrypted: line.secure };
    const question = line.url.indexOf("?");
    this._query = question < 0 ? {} : parse(line.url.slice(question + 1));
    for (const [key, value] of Object.entries(this._query)) if (typeof value === "string") this._query[key] = intern(value);
  }

  /** The older name of `socket`, which Socket.IO still asks whether it is encrypted. */
  get connection(): VirtualSocket {
    return this.socket;
  }

  set connection(socket: VirtualSocket) {
    this.socket = socket;
  }

  get httpVersion(): string {
    return "1.1";
  }

  get httpVersionMajor(): number {
    return 1;
  }

  get httpVersionMinor(): number {
    return 1;
  }

  /** Names and values in turn, as they came. */
  get rawHeaders(): string[] {
    if (!this.#isPlain) return [...this.#raw];
    return this.#raw.flatMap((name) => [name, String(this.headers[name.toLowerCase()] ?? "")]);
  }

  /** It has no body, or none that comes here: as Node's when all of it was read. */
  get complete(): boolean {
    return true;
  }

  get readable(): boolean {
    return false;
  }

  get readableEnded(): boolean {
    return true;
  }

  get aborted(): boolean {
    return false;
  }

  /** Ends what would have been given the body. */
  pipe<Destination extends { end?(): unknown }>(destination: Destination): Destination {
    destination.end?.();
    return destination;
  }

  emit(_event: string | symbol, ..._values: unknown[]): boolean {
    return false;
  }

  listenerCount(_event: string | symbol): number {
    return 0;
  }
}

/** What middlewares call on a request, which is over: nothing more will come of it, so that nothing is kept of a listener. */
const SILENT = [
  "on", "once", "off", "addListener", "removeListener", "removeAllListeners", "prependListener", "prependOnceListener", "setMaxListeners",
  "resume", "pause", "unpipe", "setEncoding", "setTimeout", "destroy",
] as const;

for (const name of SILENT) {
  Object.defineProperty(VirtualRequest.prototype, name, {
    configurable: true,
    writable: true,
    value(this: VirtualRequest): VirtualRequest {
      return this;
    },
  });
}
