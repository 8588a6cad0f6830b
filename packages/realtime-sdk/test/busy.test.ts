// The handlers of all clients together: who waits when they are too many, and until when.

import assert from "node:assert/strict";
import { once } from "node:events";
import { mock } from "node:test";

import { Server, type Socket } from "socket.io";

import { Busy } from "../src/busy.js";
import type { VirtualConnection } from "../src/connection.js";
import { attachRingway } from "../src/server.js";
import { PeerDaemon, type PeerLink } from "./peer.js";
import { test } from "./timed.js";

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

/** A client that counts as a connection does. */
class Client {
  running = 0;
  readyState: "open" | "closed" = "open";
  waits = false;
  /** What else comes of it that it is told to wait. */
  told = (): void => {};
  readonly #busy: Busy;

  constructor(busy: Busy) {
    this.#busy = busy;
  }

  wait(on: boolean): void {
    assert.notEqual(on, this.waits, "it is told once");
    assert.equal(this.readyState, "open", "it is not told when it is gone");
    this.waits = on;
    if (on) this.told();
  }

  leave(): void {
    this.readyState = "closed";
    this.#busy.forget(this);
  }

  begin(count = 1): void {
    for (let begun = 0; begun < count; begun += 1) {
      this.running += 1;
      this.#busy.begin(this);
    }
  }

  finish(count = 1): void {
    for (let finished = 0; finished < count; finished += 1) {
      this.running -= 1;
      this.#busy.finish(this);
    }
  }
}

interface Crowd { clients: [Client, Client, Client]; faults: string[]; waiting: () => string; flushed: string[]; pass: (time_ms: number) => void }

/** Three clients that may have ten handlers running. */
function crowd(): Crowd {
  const faults: string[] = [];
  /** Who waited each time that it was brought on its way. */
  const flushed: string[] = [];
  const flush = (): void => { flushed.push(waiting()); };
  let now_ms = 0;
  const busy = new Busy({ worker_handlers_max: 10, fault: ({ message }) => { faults.push(message); }, flush }, () => now_ms);
  const pass = (time_ms: number): void => {
    now_ms += time_ms;
    mock.timers.tick(time_ms);
  };
  const clients: Crowd["clients"] = [new Client(busy), new Client(busy), new Client(busy)];
  const waiting = (): string => clients.map(({ waits }) => waits ? "w" : "-").join("");
  return { clients, faults, waiting, flushed, pass };
}

/** A test whose time is its own. */
function timed(name: string, body: (crowd: Crowd) => Promise<void>): void {
  test(name, async () => {
    mock.timers.enable({ apis: ["setTimeout"] });
    try {
      await body(crowd());
    } finally {
      mock.timers.reset();
    }
  });
}

test("below the bound nobody waits", async () => {
  const { clients, faults, waiting } = crowd();
  for (const client of clients) client.begin(3);
  await turn();
  assert.deepEqual([waiting(), faults], ["---", []]);
});

test("at the bound those wait who begin another, until half of all are done; it is told when it begins and when it ends", async () => {
  const { clients: [one, two, three], faults, waiting } = crowd();
  one.begin(4);
  two.begin(6);
  await turn();
  assert.equal(waiting(), "-w-", "the first one said nothing more");
  three.begin();
  one.begin();
  await turn();
  assert.equal(waiting(), "www");
  two.finish(5);
  assert.equal(waiting(), "www", "seven are not half of ten");
  one.finish(2);
  assert.equal(waiting(), "---");
  assert.deepEqual(faults, [
    "handlers-full: 10 handlers run: clients whose handlers do not return wait until half of them have", "handlers-free: 5 handlers run: no client waits any more",
  ]);
  one.begin(4);
  await turn();
  assert.equal(waiting(), "---", "nine again");
});

test("those who are to wait are told so at once, all of a turn together", async () => {
  const { clients, flushed } = crowd();
  for (const client of clients) client.begin(9);
  await turn();
  assert.deepEqual(flushed, ["-ww"]);
});

test("a client whose own are done goes on, and one whose are done in the turn never waits", async () => {
  const { clients: [stuck, quick], waiting } = crowd();
  stuck.begin(10);
  await turn();
  assert.equal(waiting(), "w--");
  for (let count = 0; count < 3; count += 1) {
    quick.begin();
    await Promise.resolve();
    quick.finish();
  }
  await turn();
  assert.equal(waiting(), "w--");
  quick.begin(2);
  await turn();
  quick.finish();
  assert.equal(waiting(), "ww-");
  quick.finish();
  assert.equal(waiting(), "w--");
});

test("what a client that is gone has running counts on, and it is told nothing", async () => {
  const { clients: [gone, other], waiting } = crowd();
  gone.begin(10);
  await turn();
  gone.leave();
  other.begin();
  await turn();
  assert.equal(waiting(), "ww-");
  gone.finish(6);
  assert.equal(waiting(), "w--", "the first one is not there to be told");
});

timed("what a client that is gone has running counts for a minute, and no longer", async ({ clients: [gone, other], faults, waiting, pass }) => {
  gone.begin(10);
  gone.leave();
  other.begin(2);
  await turn();
  pass(59_999);
  assert.equal(waiting(), "-w-");
  pass(1);
  assert.equal(waiting(), "---");
  assert.equal(faults.at(-1), "handlers-free: 2 handlers run: no client waits any more");
  gone.finish(10);
  other.begin(7);
  await turn();
  assert.deepEqual([waiting(), faults.length], ["---", 2], "nine run: those that are done all the same were not counted twice");
  other.begin();
  await turn();
  assert.deepEqual([waiting(), faults.length], ["-w-", 3]);
});

timed("of clients that are gone each counts for its own minute, with what of it still runs", async ({ clients: [first, second, third], faults, waiting, pass }) => {
  first.begin(6);
  first.leave();
  pass(20_000);
  second.begin(6);
  second.leave();
  third.begin(2);
  await turn();
  first.finish();
  third.finish();
  pass(40_000);
  assert.equal(waiting(), "--w", "those of the second one, and its own");
  pass(19_999);
  assert.equal(waiting(), "--w");
  pass(1);
  assert.deepEqual([waiting(), faults.at(-1)], ["---", "handlers-free: 1 handlers run: no client waits any more"]);
  first.begin(20);
  first.finish(25);
  second.finish(6);
  third.begin(8);
  assert.equal(faults.length, 2, "one that was written off counts no more, whatever it does");
  third.begin();
  assert.equal(faults.length, 3);
});

timed("who goes when all others that were gone are written off, or are done, counts for its own minute", async ({ clients: [first, second, third], waiting, pass }) => {
  first.begin(10);
  first.leave();
  pass(30_000);
  first.finish(10);
  second.begin(10);
  second.leave();
  third.begin();
  await turn();
  pass(59_999);
  assert.equal(waiting(), "--w");
  pass(1);
  assert.equal(waiting(), "---");
});

timed("what begins behind the end of its client counts for a minute, too, and waits for nothing", async ({ clients: [gone, other], faults, waiting, pass }) => {
  gone.leave();
  gone.begin(10);
  await turn();
  assert.deepEqual([waiting(), faults.length], ["---", 1]);
  other.begin();
  await turn();
  pass(60_000);
  assert.deepEqual([waiting(), faults.at(-1)], ["---", "handlers-free: 1 handlers run: no client waits any more"]);
});

test("clients that go while one of them is told to wait are not told, and wait for nothing", async () => {
  const { clients: [first, second, third], faults, waiting } = crowd();
  first.told = () => {
    first.leave();
    second.leave();
  };
  for (const client of [first, second, third]) client.begin(10);
  await turn();
  assert.equal(waiting(), "w-w");
  // None that is gone is told that it goes on: each says so itself.
  for (const client of [first, second, third]) client.finish(10);
  assert.deepEqual([waiting(), faults.length], ["w--", 2]);
});

test("nobody is told to wait when telling another one has ended it", async () => {
  const { clients: [first, second], waiting } = crowd();
  first.told = () => first.finish(9);
  first.begin(10);
  second.begin();
  await turn();
  assert.equal(waiting(), "---");
});

interface Stage { link: PeerLink; connections: VirtualConnection[]; faults: string[] }

/** Clients of a worker whose bounds are small, and where the daemon obeys HOLD or not. */
async function staged(caps: string[], body: (stage: Stage) => Promise<void>): Promise<void> {
  const daemon = await PeerDaemon.listen();
  const io = new Server();
  const ringway = attachRingway(io, { url: daemon.url, bounds: { handlers_max: 8, worker_handlers_max: 10 } });
  try {
    const link = await daemon.accept();
    await link.welcome({ caps });
    await ringway.ready;
    const faults: string[] = [];
    ringway.on("fault", ({ code }) => faults.push(code));
    const connections: VirtualConnection[] = [];
    for (const conn of [1, 2]) {
      link.open(conn);
      const connected = once(io, "connection") as Promise<[Socket]>;
      await link.connect(conn);
      connections.push((await connected)[0].conn as unknown as VirtualConnection);
    }
    await body({ link, connections, faults });
  } finally {
    await io.close();
    daemon.close();
  }
}

/** What the daemon was told to hold since it was asked last: what stands behind a mark is not there yet. */
async function holds({ link, connections }: Stage): Promise<[conn: unknown, on: number][]> {
  connections[0]?.write("mark");
  const told: [unknown, number][] = [];
  for (;;) {
    const frame = await link.next("HOLD", "SEND");
    if (frame.name === "SEND") {
      if (frame.payload.toString() === "mark") return told;
    } else {
      told.push([frame.conn, frame.on]);
    }
  }
}

const repeat = (count: number, what: () => void): void => { for (let done = 0; done < count; done += 1) what(); };

test("the daemon is told to hold a client once, whichever bound it is for, and to go on when none is reached", () => staged(["hold"], async (stage) => {
  const [one, two] = stage.connections as [VirtualConnection, VirtualConnection];
  repeat(8, () => one.begin());
  assert.deepEqual(await holds(stage), [[1, 1]], "its own bound");
  repeat(3, () => two.begin());
  await turn();
  one.begin();
  await turn();
  assert.deepEqual(await holds(stage), [[2, 1]]);
  repeat(5, () => one.finish());
  assert.deepEqual(await holds(stage), [], "its own bound is over, and that of all is not");
  repeat(2, () => two.finish());
  assert.deepEqual(await holds(stage), [[2, 0], [1, 0]]);
  assert.deepEqual(stage.faults, ["handlers-full", "handlers-free"]);
}));

test("a daemon that does not know HOLD is told nothing", () => staged([], async (stage) => {
  for (const connection of stage.connections) repeat(20, () => connection.begin());
  await turn();
  assert.deepEqual([await holds(stage), stage.faults], [[], []]);
}));

test("a client that is gone while its handlers run is not spoken of", () => staged(["hold"], async (stage) => {
  const [one, two] = stage.connections as [VirtualConnection, VirtualConnection];
  repeat(10, () => two.begin());
  await turn();
  assert.deepEqual(await holds(stage), [[2, 1]]);
  stage.link.send("CLOSE", 0, 2, { reason: 0, code: 0, text: "" });
  await once(two, "close");
  one.begin();
  await turn();
  assert.deepEqual(await holds(stage), [[1, 1]]);
  repeat(10, () => two.finish());
  assert.deepEqual(await holds(stage), [[1, 0]]);
}));
