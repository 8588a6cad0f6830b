// The adapter of NestJS: what handlers return reaches a client as with NestJS's own, and the link follows the application.

import assert from "node:assert/strict";
import { EventEmitter, once } from "node:events";
import { createServer, type Server as HttpServer } from "node:http";
import { createRequire } from "node:module";
import { afterEach, beforeEach } from "node:test";

import { Logger } from "@nestjs/common";
import { NestFactory } from "@nestjs/core";
import { IoAdapter } from "@nestjs/platform-socket.io";
import { from, isObservable, mergeAll, Observable, of, Subject } from "rxjs";

import { RingwayAdapter, RingwayHealthIndicator, RingwayModule, RingwayStatus } from "../src/nest/index.js";
import { statusOf } from "../src/nest/status.js";
import type { Ringway } from "../src/server.js";
import { PeerDaemon } from "./peer.js";
import { test } from "./timed.js";

type Bound = Parameters<IoAdapter["bindMessageHandlers"]>;

/** A socket of which only the events matter. */
class PretendedSocket extends EventEmitter {
  readonly sent: unknown[][] = [];

  override emit(name: string, ...values: unknown[]): boolean {
    this.sent.push([name, ...values]);
    return true;
  }

  receive(name: string, ...values: unknown[]): void {
    super.emit(name, ...values);
  }
}

/** As NestJS hands results to adapters. */
const transform: Bound[2] = (data: unknown) => from((async () => {
  const result = await data;
  return isObservable(result) ? result : of(result);
})()).pipe(mergeAll());

const bind = (adapter: IoAdapter, socket: PretendedSocket, handlers: Bound[1]): void =>
  adapter.bindMessageHandlers(socket as unknown as Bound[0], handlers, transform);

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));
const unused = { url: "unix:/nowhere" };
const ADAPTERS = { "NestJS's": () => new IoAdapter(), "Ringway's": () => new RingwayAdapter(undefined, unused) };

/** What a handler gives, with what is sent, and what is acknowledged. */
const RETURNS: [name: string, gives: () => unknown, sent: unknown[][], acks: unknown[]][] = [
  ["a value", () => "yes", [], ["yes"]],
  ["zero, false and an empty text are values", () => from([0, false, ""]), [], [0, false, ""]],
  ["undefined", () => undefined, [], []],
  ["null", () => null, [], []],
  ["a Promise", async () => { await turn(); return [1]; }, [], [[1]]],
  ["a Promise of undefined", async () => undefined, [], []],
  ["an event", () => ({ event: "told", data: 7 }), [["told", 7]], []],
  ["an event without data", () => ({ event: "told" }), [["told", undefined]], []],
  ["no event's name", () => ({ event: "", data: 7 }), [], [{ event: "", data: 7 }]],
  ["an Observable", () => of({ event: "told", data: 1 }, undefined, { event: "told", data: 2 }, 3), [["told", 1], ["told", 2]], [3]],
  ["a Promise of an Observable", async () => of(1), [], [1]],
];

/** Arguments of an event besides the acknowledgement, and the data of it. */
const ARGUMENTS: [values: unknown[], data: unknown][] = [
  [[], undefined], [["a"], "a"], [[["a", "b"]], ["a", "b"]], [["a", "b"], ["a", "b"]], [[null], null],
];

for (const [whose, make] of Object.entries(ADAPTERS)) {
  for (const [name, gives, sent, acks] of RETURNS) {
    test(`${whose} adapter, a handler gives ${name}`, async () => {
      const socket = new PretendedSocket();
      const answers: unknown[] = [];
      bind(make(), socket, [{ message: "ask", methodName: "ask", callback: gives as Bound[1][0]["callback"], isAckHandledManually: false }]);
      socket.receive("ask", 1, (answer: unknown) => answers.push(answer));
      await turn(); await turn();
      assert.deepEqual([socket.sent, answers], [sent, acks]);
    });
  }

  test(`${whose} adapter: data and acknowledgement are told apart`, async () => {
    const socket = new PretendedSocket();
    const given: unknown[][] = [];
    const callback = (...values: unknown[]): undefined => { given.push(values); };
    bind(make(), socket, [{ message: "ask", methodName: "ask", callback: callback as never, isAckHandledManually: false }]);
    const ack = (): void => {};
    for (const [values] of ARGUMENTS) {
      socket.receive("ask", ...values);
      socket.receive("ask", ...values, ack);
    }
    // With an acknowledgement a single list comes as it is, too.
    assert.deepEqual(given, ARGUMENTS.flatMap(([, data]) => [[data, undefined], [data, ack]]));
  });

  test(`${whose} adapter: @Ack() keeps what is returned, but not an event`, async () => {
    const socket = new PretendedSocket();
    const answers: unknown[] = [];
    const handler = (message: string, value: unknown) => ({ message, methodName: message, callback: (() => value) as never, isAckHandledManually: true });
    bind(make(), socket, [handler("ask", 1), handler("tell", { event: "told", data: 2 })]);
    for (const name of ["ask", "tell"]) socket.receive(name, (answer: unknown) => answers.push(answer));
    await turn();
    assert.deepEqual([socket.sent, answers], [[["told", 2]], []]);
  });

  test(`${whose} adapter: gateways share a socket and an event, each in its turn`, async () => {
    const socket = new PretendedSocket();
    const calls: string[] = [];
    const adapter = make();
    const handler = (message: string, who: string) => ({ message, methodName: who, callback: (() => { calls.push(who); }) as never, isAckHandledManually: false });
    bind(adapter, socket, [handler("ask", "one"), handler("other", "two"), handler("ask", "three")]);
    bind(adapter, socket, [handler("ask", "four"), handler("disconnect", "never")]);
    socket.receive("ask");
    socket.receive("other");
    socket.receive("nobody's");
    socket.receive("disconnect");
    assert.deepEqual(calls, ["one", "three", "four", "two"]);
  });

  test(`${whose} adapter: who is gone is answered no more`, async () => {
    const socket = new PretendedSocket();
    const [late, stream] = [new Subject<unknown>(), new Subject<unknown>()];
    let finish: (value: unknown) => void = () => {};
    const gives: Record<string, () => unknown> = {
      pending: () => new Promise((resolve) => { finish = resolve; }),
      stream: () => stream,
      late: () => Promise.resolve(late),
    };
    const handlers = Object.entries(gives).map(([message, callback]) => ({ message, methodName: message, callback: callback as never, isAckHandledManually: false }));
    bind(make(), socket, handlers);
    const answers: unknown[] = [];
    const ack = (answer: unknown): void => { answers.push(answer); };
    socket.receive("pending", ack);
    socket.receive("stream", ack);
    await turn();
    stream.next("before");
    assert.equal(stream.observed, true);
    socket.receive("late", ack);
    socket.receive("disconnect", "transport close");
    finish("after");
    await turn();
    assert.deepEqual([answers, stream.observed, late.observed], [["before"], false, false]);
    socket.receive("stream", ack);
    await turn();
    assert.equal(stream.observed, false, "nor heard");
  });
}

test("a handler runs until its value, or the first of its Observable, or the end of that", async () => {
  const streams: Subject<unknown>[] = [];
  const gives: Record<string, () => unknown> = {
    value: () => 1,
    never: () => new Promise(() => {}),
    stream: () => { const stream = new Subject<unknown>(); streams.push(stream); return stream; },
    empty: () => from([]),
    wrong: () => { throw new Error("wrong"); },
    closed: () => { const stream = new Subject<unknown>(); stream.unsubscribe(); return stream; },
    late: () => Object.assign(new Observable(), { subscribe: ({ next }: { next(value: unknown): void }) => { next(1); throw new Error("late"); } }),
  };
  const running = { begun: 0, finished: 0 };
  const socket = Object.assign(new PretendedSocket(), { conn: { begin: () => { running.begun += 1; }, finish: () => { running.finished += 1; } } });
  const handlers = Object.entries(gives).map(([message, callback]) => ({ message, methodName: message, callback: callback as never, isAckHandledManually: false }));
  bind(new RingwayAdapter(undefined, unused), socket, handlers);
  const after = async (what: () => void): Promise<number> => { what(); await turn(); return running.begun - running.finished; };
  const error = Logger.prototype.error;
  Logger.prototype.error = () => {};
  try {
    assert.equal(await after(() => { socket.receive("value"); socket.receive("empty"); socket.receive("wrong"); }), 0);
    assert.equal(await after(() => socket.receive("closed")), 0, "nobody can listen to it");
    assert.equal(await after(() => socket.receive("late")), 0, "nor twice");
    assert.equal(await after(() => { for (let count = 0; count < 4; count += 1) socket.receive("stream"); }), 4);
    assert.equal(await after(() => streams[0]?.next("first")), 3);
    assert.equal(await after(() => { streams[0]?.next("second"); streams[0]?.complete(); }), 3, "once each");
    assert.equal(await after(() => streams[1]?.complete()), 2);
    assert.equal(await after(() => streams[2]?.error(new Error("broken"))), 1);
    assert.equal(await after(() => socket.receive("never")), 2);
    assert.equal(await after(() => socket.receive("disconnect", "transport close")), 1, "the stream is over, the Promise is not");
  } finally {
    Logger.prototype.error = error;
  }
});

test("an exception that no filter took is logged; the event is served again", async () => {
  const logged: unknown[] = [];
  const error = Logger.prototype.error;
  Logger.prototype.error = (what: unknown) => { logged.push((what as Error).message); };
  try {
    const socket = new PretendedSocket();
    const gives = [
      () => { throw new Error("thrown"); }, () => Promise.reject(new Error("rejected")),
      () => new Observable((subscriber) => subscriber.error(new Error("streamed"))), () => "well",
    ];
    const answers: unknown[] = [];
    const callback = (): unknown => gives.shift()?.();
    bind(new RingwayAdapter(undefined, unused), socket, [{ message: "ask", methodName: "ask", callback: callback as never, isAckHandledManually: false }]);
    for (let count = 0; count < 4; count += 1) socket.receive("ask", (answer: unknown) => answers.push(answer));
    await turn();
    assert.deepEqual([logged.sort(), answers], [["rejected", "streamed", "thrown"], ["well"]]);
  } finally {
    Logger.prototype.error = error;
  }
});

let daemon: PeerDaemon;
let http: HttpServer;
/** As far as an adapter knows applications. */
let app: HttpServer & { getHttpAdapter(): object };

beforeEach(async () => {
  daemon = await PeerDaemon.listen();
  http = createServer();
  app = Object.assign(http, { getHttpAdapter: () => http });
});
afterEach(() => {
  http.close();
  daemon.close();
});

const listen = async (): Promise<void> => { await once(http.listen(0, "127.0.0.1"), "listening"); };

test("the server is of NestJS's own socket.io, and no http server is its", async () => {
  const adapter = new RingwayAdapter(app, unused);
  const io = adapter.createIOServer(0, {} as never);
  const require = createRequire(import.meta.url);
  const platform = createRequire(require.resolve("@nestjs/platform-socket.io"));
  const { Server } = platform("socket.io") as { Server: new () => object };
  assert.equal(io instanceof Server, true);
  assert.equal((io as unknown as { httpServer?: object }).httpServer, undefined);
  assert.equal(http.listenerCount("request"), 0);
  assert.equal(io.engine, adapter.ringway?.engine, "afterInit finds io.engine");
  await adapter.close(io);
});

test("the daemon is looked for when the application listens, not before; a clean stop keeps the clients", async () => {
  const adapter = new RingwayAdapter(app, { url: daemon.url });
  const status = statusOf(http);
  const health = new RingwayHealthIndicator(status);
  const io = adapter.createIOServer(0, { path: "/chat" } as never);
  const link = daemon.accept();
  assert.deepEqual([status.now.state, health.isHealthy().ringway.status], ["waiting", "down"]);
  await listen();
  assert.equal(status.now.state, "connecting");
  const peer = await link;
  await peer.welcome();
  await adapter.ringway?.ready;
  assert.equal((await peer.next("BIND")).json.value.path, "/chat");
  assert.deepEqual([health.isHealthy("link").link.status, health.isHealthy("link").link.url], ["up", daemon.url]);
  const closed = adapter.close(io);
  assert.equal((await peer.next("GOAWAY")).json.value.mode, "keep");
  peer.socket.end();
  await closed;
  assert.deepEqual([status.now.state, health.isHealthy().ringway.status], ["stopped", "down"]);
});

test("an application that never listens says start()", async () => {
  const adapter = new RingwayAdapter(app, { url: daemon.url });
  const io = adapter.createIOServer(0, {} as never);
  const link = daemon.accept();
  adapter.start();
  adapter.start();
  await (await link).welcome();
  await adapter.ringway?.ready;
  await adapter.close(io);
});

test("a second server is refused, as the daemon has one address; a namespace is none", async () => {
  const adapter = new RingwayAdapter(app, unused);
  const io = adapter.create(0, {} as never) as ReturnType<RingwayAdapter["createIOServer"]>;
  const news = adapter.create(0, { namespace: "/news", server: io } as never) as typeof io;
  assert.throws(() => adapter.create(8080, {} as never), /a gateway wants port 8080 and path \/socket\.io, another one has port 0/);
  assert.throws(() => adapter.create(0, { path: "/chat" } as never), /path \/chat/);
  await adapter.close(news);
  await adapter.close(io);
});

test("options are the adapter's, else the module's, else missed", async () => {
  assert.throws(() => new RingwayAdapter(app).createIOServer(0), /RingwayModule\.forRoot/);
  statusOf(http).options = { url: daemon.url };
  const adapter = new RingwayAdapter(app);
  const io = adapter.createIOServer(0);
  assert.equal(statusOf(http).now.url, daemon.url);
  await adapter.close(io);
});

test("the module's status is that of the application's HttpAdapter", () => {
  const { providers = [], global } = RingwayModule.forRoot({ url: "unix:/a" });
  assert.equal(global, true);
  const provider = providers.find((one) => "provide" in one && one.provide === RingwayStatus) as { useFactory(...values: unknown[]): RingwayStatus };
  assert.equal(provider.useFactory({ httpAdapter: http }, { url: "unix:/a" }), statusOf(http));
  assert.deepEqual(statusOf(http).options, { url: "unix:/a" });
  assert.equal(new RingwayHealthIndicator(statusOf(http)).isHealthy().ringway.state, "unused");
});

test("forRootAsync asks other modules, and every module may ask for the indicator", async () => {
  const Config = class {};
  const Health = class {};
  const url = { provide: "link url", useValue: "unix:/asked" };
  const root = {
    module: class Root {},
    imports: [
      RingwayModule.forRootAsync({
        imports: [{ module: Config, providers: [url], exports: [url] }],
        inject: ["link url"],
        useFactory: async (asked: string) => ({ url: asked }),
      }),
      { module: Health, providers: [{ provide: "health", inject: [RingwayHealthIndicator], useFactory: (indicator: RingwayHealthIndicator) => indicator.isHealthy() }] },
    ],
  };
  const context = await NestFactory.createApplicationContext(root, { logger: false, abortOnError: false });
  assert.deepEqual(context.get(RingwayStatus).options, { url: "unix:/asked" });
  assert.equal(context.get("health", { strict: false }).ringway.state, "unused");
  await context.close();
});

test("a daemon that is not there: connecting, and why", async () => {
  const adapter = new RingwayAdapter(app, { url: "unix:/nowhere/link.sock" });
  const io = adapter.createIOServer(0);
  adapter.start();
  await once(adapter.ringway as Ringway, "retry");
  const { state, reason } = statusOf(http).now;
  assert.equal(state, "connecting");
  assert.match(reason ?? "", /ENOENT/);
  await adapter.close(io);
});

test("CommonJS finds the same", () => {
  const require = createRequire(import.meta.url);
  const cjs = require("@ecommerce-enterprise/realtime-sdk/nest") as { RingwayAdapter: object };
  assert.equal(Object.getPrototypeOf(cjs.RingwayAdapter), require("@nestjs/platform-socket.io").IoAdapter);
});
