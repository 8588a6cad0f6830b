// Questions of the daemon before it lets a client in: middlewares, allowRequest, header hooks and ids of the application.

import { ServerResponse, type ClientRequest, type IncomingMessage, type OutgoingHttpHeader } from "node:http";

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
    return { request, response: await refuse(engine, request, answer, BAD_REQUEST, "Bad request", { name: "MIDDLEWARE_FAILURE" }) };
  }
  try {
    return { request, response: await decide(engine, request, answer) };
  } catch (error) {
    return { request, response: await refuse(engine, request, answer, FORBIDDEN, String(error), { message: String(error) }) };
  }
}

/** Responses to WebSockets that were let in: they close with their connection, which is what loggers of requests wait for. */
const open = new WeakMap<VirtualRequest, ServerResponse>();

/** The connection of a request ended. */
export function endRequest(request: VirtualRequest | undefined): void {
  if (request) open.get(request)?.emit("close");
}

/** Whether somebody waits for the end of a request's connection. */
export function isOpen(request: VirtualRequest): boolean {
  return open.has(request);
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

async function decide(engine: RingwayEngine, request: VirtualRequest, answer: Answer): Promise<HandshakeResponse> {
  const isNew = request._query["sid"] === undefined;
  const { allowRequest } = engine.opts;
  if (isNew && allowRequest) {
    const refused = await new Promise<string | undefined>((resolve) => {
      allowRequest(request, (error, success) => resolve(success ? undefined : (error ?? "Forbidden")));
    });
    if (refused !== undefined) return refuse(engine, request, answer, FORBIDDEN, refused, { message: refused });
  }
  const sid = isNew && engine.choosesIds ? await engine.generateId(request) : undefined;
  const headers = wantsWebSocket(request) ? welcome(engine, request, answer, isNew) : await reply(engine, request, answer, isNew);
  return { ok: true, headers, ...(sid === undefined ? {} : { sid }) };
}

function wantsWebSocket(request: VirtualRequest): boolean {
  return request._query["transport"] === "websocket";
}

function tellHeaders(engine: RingwayEngine, request: VirtualRequest, headers: Record<string, OutgoingHttpHeader | undefined>, isNew: boolean): void {
  if (isNew) engine.emit("initial_headers", headers, request);
  engine.emit("headers", headers, request);
}

/** The headers for a WebSocket. As with engine.io listeners are shown what middlewares have set, and the response stays open. */
function welcome(engine: RingwayEngine, request: VirtualRequest, answer: Answer, isNew: boolean): [string, string][] {
  const { response } = answer;
  // Middlewares that set their headers late, as express-session does, wait for this call.
  response.writeHead(101);
  const headers = answer.said();
  tellHeaders(engine, request, headers, isNew);
  if (response.listenerCount("close") > 0) open.set(request, response);
  return pairsOf(headers);
}

/** The headers for a request by polling. Middlewares may have something to do before its end: express-session stores the session. */
async function reply(engine: RingwayEngine, request: VirtualRequest, answer: Answer, isNew: boolean): Promise<[string, string][]> {
  const headers: Record<string, OutgoingHttpHeader | undefined> = {};
  tellHeaders(engine, request, headers, isNew);
  answer.response.writeHead(200, headers);
  answer.response.end();
  await answer.ended;
  return answer.headers();
}

async function refuse(
  engine: RingwayEngine,
  req: VirtualRequest,
  answer: Answer,
  code: number,
  message: string,
  context: { name: string } | { message: string },
): Promise<HandshakeResponse> {
  engine.emit("connection_error", { req, code, message: code === FORBIDDEN ? "Forbidden" : message, context });
  const { response } = answer;
  // engine.io answers a client that wants a WebSocket so.
  if (wantsWebSocket(req)) {
    process.nextTick(() => response.emit("close"));
    return { ok: false, status: 400, headers: [["Content-Type", "text/html"]], body: message, code, context: { ...context } };
  }
  // A middleware that failed may have begun to answer.
  if (response.headersSent) {
    if (!response.writableEnded) response.end();
  } else {
    response.writeHead(code === FORBIDDEN ? 403 : 400, { "Content-Type": "application/json" });
    response.end(JSON.stringify({ code, message }));
  }
  await answer.ended;
  return { ...answer.refusal(), code, context: { ...context } };
}

function pairsOf(headers: Readonly<Record<string, OutgoingHttpHeader | undefined>>): [string, string][] {
  return Object.entries(headers).flatMap(([name, value]) => {
    if (value === undefined) return [];
    const values = Array.isArray(value) ? value : [value];
    return values.map((one): [string, string] => [name, String(one)]);
  });
}

/** What writeHead() was given: an object, or names and values in turn, or in pairs. */
function setHeaders(response: ServerResponse, given: unknown): void {
  if (!Array.isArray(given)) {
    for (const [name, value] of Object.entries(given ?? {})) if (value !== undefined) response.setHeader(name, value as string);
    return;
  }
  const flat = given.flat() as string[];
  const names = new Set<string>();
  for (let at = 0; at + 1 < flat.length; at += 2) {
    const [name, value] = [String(flat[at]), String(flat[at + 1])];
    // The first one takes the place of what was set before, and the others stand beside it.
    if (names.has(name.toLowerCase())) response.appendHeader(name, value);
    else response.setHeader(name, value);
    names.add(name.toLowerCase());
  }
}

/** Node's own response without a socket, so that middlewares find all that they know; what they say is kept. */
export class Answer {
  readonly response: ServerResponse;
  readonly ended: Promise<void>;
  hasEnded = false;
  #hasHead = false;
  readonly #chunks: Buffer[] = [];

  constructor(request: VirtualRequest) {
    const response = new ServerResponse(request as unknown as IncomingMessage);
    this.response = response;
    Object.defineProperty(response, "headersSent", { get: () => this.#hasHead });
    // Through the response, where middlewares may have put themselves in the way.
    const begin = (): void => { if (!this.#hasHead) response.writeHead(response.statusCode); };
    const take = (chunk: unknown, encoding: unknown): void => {
      if (typeof chunk === "string") this.#chunks.push(Buffer.from(chunk, typeof encoding === "string" ? (encoding as BufferEncoding) : "utf8"));
      else if (chunk instanceof Uint8Array) this.#chunks.push(Buffer.from(chunk));
    };
    const callBack = (values: readonly unknown[]): void => {
      const callback = values.find((value) => typeof value === "function");
      if (callback) process.nextTick(callback as () => void);
    };
    response.write = (chunk: unknown, ...rest: unknown[]): boolean => {
      begin();
      take(chunk, rest[0]);
      callBack(rest);
      return true;
    };
    this.ended = new Promise((resolve) => {
      response.end = (chunk?: unknown, ...rest: unknown[]): ServerResponse => {
        if (this.hasEnded) return response;
        begin();
        take(chunk, rest[0]);
        callBack([chunk, ...rest]);
        this.hasEnded = true;
        // What `writableEnded` gives.
        response.finished = true;
        resolve();
        process.nextTick(() => {
          response.emit("finish");
          response.emit("close");
        });
        return response;
      };
    });
    response.writeHead = (status: number, ...rest: unknown[]): ServerResponse => {
      response.statusCode = status;
      if (typeof rest[0] === "string") response.statusMessage = rest[0];
      setHeaders(response, rest.find((one) => typeof one === "object" && one !== null));
      this.#hasHead = true;
      return response;
    };
  }

  /** The headers by their names as they were written. */
  said(): Record<string, OutgoingHttpHeader | undefined> {
    // Every outgoing message has the method, and the types know it of one.
    const names = (this.response as unknown as ClientRequest).getRawHeaderNames();
    return Object.fromEntries(names.map((name) => [name, this.response.getHeader(name)]));
  }

  headers(): [string, string][] {
    return pairsOf(this.said());
  }

  refusal(): HandshakeResponse & { ok: false } {
    // Chunks end anywhere, within a character, too.
    return { ok: false, status: this.response.statusCode, headers: this.headers(), body: Buffer.concat(this.#chunks).toString() };
  }
}
