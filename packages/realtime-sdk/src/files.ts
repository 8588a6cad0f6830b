// The files of Socket.IO's client, which pages load from where their sockets go to: socket.io serves them here, and the daemon hands them on.
//
// Deliberately absent: which files there are at the daemon's, and compression. A body goes over the link as text.

import type { RingwayEngine } from "./engine.js";
import { Answer } from "./handshake.js";
import type { ServerInternals } from "./internals.js";
import type { HandshakeResponse } from "./link/json.js";
import { VirtualRequest, type RequestLine } from "./request.js";

const FILE = /\/(socket\.io(?:\.esm\.min|\.msgpack\.min|\.min)?\.js(?:\.map)?)$/;

/** Whether `io` has the client's files, and gives them away. */
export function servesClient(io: ServerInternals): boolean {
  return io.serveClient() && typeof io.serve === "function";
}

/** The file that a request wants. */
export function fileOf(io: ServerInternals, asked: RequestLine): string | undefined {
  if (!servesClient(io)) return undefined;
  return FILE.exec(asked.url.split("?", 1)[0] ?? "")?.[1];
}

/** What socket.io answers, headers and all: by middlewares of the engine such requests do not come there either. */
export async function serveFile(io: ServerInternals, engine: RingwayEngine, asked: RequestLine, file: string): Promise<HandshakeResponse> {
  const headers = asked.headers.filter(([name]) => name.toLowerCase() !== "accept-encoding");
  const request = new VirtualRequest({ ...asked, headers });
  const answer = new Answer(request);
  const serve = (): void => io.serve?.(file, request, answer.response);
  try {
    if (engine.corsMiddleware) engine.corsMiddleware(request, answer.response, serve);
    else serve();
    await answer.ended;
  } catch (error) {
    return { ok: false, status: 500, body: String(error) };
  }
  return answer.refusal();
}
