// The handlers of all clients together: who waits when they are too many, and until when.

import assert from "node:assert/strict";
import { once } from "node:events";

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
  waits = false;
  readonly #busy: Busy;

  constructor(busy: Busy) {
    this.#busy = busy;
  }

  wait(on: boolean): void {
    assert.notEqual(on, this.waits, "it is told once");
    this.waits = on;
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

interface Crowd { clients: [Client, Client, Client]; faults: string[]; busy: Busy; waiting: () => string; flushed: string[] }

/** Three clients that may have ten handlers running. */
function crowd(): Crowd {
  const faults: string[] = [];
  /** Who waited each time that it was brought on its way. */
  const flushed: string[] = [];
  const flush = (): void => { flushed.push(waiting()); };
  const busy = new Busy({ worker_handlers_max: 10, fault: ({ message }) => { faults.push(message); }, flush });
  const clients: Crowd["clients"] = [new Client(busy), new Client(busy), new Client(busy)];
  const waiting = (): string => clients.map(({ waits }) => waits ? "w" : "-").join("");
  return { clients, faults, busy, waiting, flushed };
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
    "handlers-full: 10 handlers run: clients whose handlers do not return wait until half of them have", "handlers-full: 5 handlers run: no client waits any more",
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
  const { clients: [gone, other], busy, waiting } = crowd();
  gone.begin(10);
  await turn();
  busy.forget(gone);
  other.begin();
  await turn();
  assert.equal(waiting(), "ww-");
  gone.finish(6);
  assert.equal(waiting(), "w--", "the first one is not there to be told");
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
  assert.deepEqual(stage.faults, ["handlers-full", "handlers-full"]);
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
