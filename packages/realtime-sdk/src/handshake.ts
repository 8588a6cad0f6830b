// Questions of the daemon before it lets a client in: middlewares, allowRequest, header hooks and ids of the application.

import { ServerResponse, type IncomingMessage, type OutgoingHttpHeader } from "node:http";

import type { RingwayEngine } from "./engine.js";
import type { HandshakeResponse } from "./link/json.js";
import { VirtualRequest, type RequestLine } from "./request.js";

/** Codes of Engine.IO. */
const BAD_REQUEST = 3;
const FORBIDDEN = 4;

/** The answer, and the request that middlewares may have added to: `socket.request` is the same one. */
export interface Handshake {
  readonly response: HandshakeResponse;
  readonly request: VirtualRequest;
}

/** Asks the application. Never rejects: what it throws is a refusal. */
export async function shakeHands(engine: RingwayEngine, asked: RequestLine): Promise<Handshake> {
  const request = new VirtualRequest(asked);
  const answer = new Answer(request);
  try {
    if (!(await passMiddlewares(engine, request, answer))) return { request, response: answer.refusal() };
  } catch {
    return { request, response: refuse(engine, request, BAD_REQUEST, "Bad request", { name: "MIDDLEWARE_FAILURE" }) };
  }
  try {
    return await decide(engine, request, answer);
  } catch (error) {
    return { request, response: refuse(engine, request, FORBIDDEN, String(error), { message: String(error) }) };
  }
}

/**
 * Shows the middlewares a request that was let in by another worker, for what they add to it. `false`: they do not let it in here.
 */
export async function greet(engine: RingwayEngine, request: VirtualRequest): Promise<boolean> {
  try {
    return await passMiddlewares(engine, request, new Answer(request));
  } catch {
    return false;
  }
}

/** `false`: one of them has answered. Throws what one of them hands on. */
async function passMiddlewares(engine: RingwayEngine, request: VirtualRequest, answer: Answer): Promise<boolean> {
  const { corsMiddleware: cors, middlewares } = engine;
  for (const middleware of cors ? [cors, ...middlewares] : middlewares) {
    const passed = new Promise<void>((resolve, reject) => {
      middleware(request, answer.response, (error) => (error ? reject(error) : resolve()));
    });
    await Promise.race([passed, answer.ended]);
    if (answer.hasEnded) return false;
  }
  return true;
}

async function decide(engine: RingwayEngine, request: VirtualRequest, answer: Answer): Promise<Handshake> {
  const isNew = request._query["sid"] === undefined;
  const { allowRequest } = engine.opts;
  if (isNew && allowRequest) {
    const refused = await new Promise<string | undefined>((resolve) => {
      allowRequest(request, (error, success) => resolve(success ? undefined : (error ?? "Forbidden")));
    });
    if (refused !== undefined) {
      return { request, response: refuse(engine, request, FORBIDDEN, refused, { message: refused }) };
    }
  }
  const sid = isNew && engine.choosesIds ? await engine.generateId(request) : undefined;
  const headers: Record<string, OutgoingHttpHeader> = {};
  if (isNew) engine.emit("initial_headers", headers, request);
  engine.emit("headers", headers, request);
  const pairs = [...answer.headers(), ...pairsOf(headers)];
  return { request, response: { ok: true, headers: pairs, ...(sid === undefined ? {} : { sid }) } };
}

function refuse(
  engine: RingwayEngine,
  req: VirtualRequest,
  code: number,
  message: string,
  context: { name: string } | { message: string },
): HandshakeResponse {
  engine.emit("connection_error", { req, code, message: code === FORBIDDEN ? "Forbidden" : message, context });
  // engine.io answers a client that wants a WebSocket so.
  if (req._query["transport"] === "websocket") {
    return { ok: false, status: 400, headers: [["Content-Type", "text/html"]], body: message, code, context: { ...context } };
  }
  return {
    ok: false,
    status: code === FORBIDDEN ? 403 : 400,
    headers: [["Content-Type", "application/json"]],
    body: JSON.stringify({ code, message }),
    code,
    context: { ...context },
  };
}

function pairsOf(headers: Readonly<Record<string, OutgoingHttpHeader | undefined>>): [string, string][] {
  return Object.entries(headers).flatMap(([name, value]) => {
    if (value === undefined) return [];
    const values = Array.isArray(value) ? value : [value];
    return values.map((one): [string, string] => [name, String(one)]);
  });
}

/** Node's own response without a socket, so that middlewares find all that they know; what they say is kept. */
export class Answer {
  readonly response: ServerResponse;
  readonly ended: Promise<void>;
  hasEnded = false;
  readonly #chunks: Buffer[] = [];

  constructor(request: VirtualRequest) {
    this.response = new ServerResponse(request as unknown as IncomingMessage);
    this.ended = new Promise((resolve) => {
      const take = (chunk: unknown): void => {
        if (typeof chunk === "string" || chunk instanceof Uint8Array) this.#chunks.push(Buffer.from(chunk as string));
      };
      this.response.write = (chunk: unknown): boolean => {
        take(chunk);
        return true;
      };
      this.response.end = (chunk?: unknown): ServerResponse => {
        take(chunk);
        this.hasEnded = true;
        resolve();
        return this.response;
      };
      this.response.writeHead = (status: number, ...rest: unknown[]): ServerResponse => {
        this.response.statusCode = status;
        const headers = rest.find((one) => typeof one === "object" && one !== null && !Array.isArray(one));
        for (const [name, value] of Object.entries(headers ?? {})) this.response.setHeader(name, value as string);
        return this.response;
      };
    });
  }

  headers(): [string, string][] {
    return pairsOf(this.response.getHeaders());
  }

  refusal(): HandshakeResponse {
    // Chunks end anywhere, within a character, too.
    return { ok: false, status: this.response.statusCode, headers: this.headers(), body: Buffer.concat(this.#chunks).toString() };
  }
}
