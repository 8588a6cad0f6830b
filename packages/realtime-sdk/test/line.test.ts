// What is said to others, in its order: what waits, for what, and what becomes of it.

import assert from "node:assert/strict";
import { mock } from "node:test";

import { Fence } from "../src/fence.js";
import { Line, type Audience } from "../src/line.js";
import { test } from "./timed.js";

/** A line to one other worker, and what was said. */
class Stage {
  now = 0;
  readonly fence = new Fence(() => this.now);
  readonly line = new Line(this.fence, () => this.now);
  readonly said: string[] = [];

  constructor() {
    this.fence.add("other");
  }

  /** As the adapter does it. */
  broadcast(name: string, audience: Partial<Audience> = {}, own: string[] = [], bytes = 1): void {
    const { rooms = [], except = [] } = audience;
    const say = (to: Audience): void => void this.said.push([`${name} to ${to.rooms.join("+")}`, ...to.except].join(" -"));
    if (!this.line.holds({ rooms, except }) || !this.line.broadcast({ rooms, except, own, bytes, say })) this.said.push(`${name} at once`);
  }

  message(name: string, rooms: { joins?: string[]; leaves?: string[] } = {}, bytes = 1): void {
    this.line.message({ ...rooms, bytes, say: () => this.said.push(name) });
  }

  /** Something is asked of the other worker. */
  ask(name: string, rooms: { joins?: string[]; leaves?: string[] } = {}): number {
    this.message(name, rooms);
    return this.fence.raise(rooms.joins ?? rooms.leaves).number;
  }

  pass(number: number): void {
    this.fence.pass("other", number);
    this.line.advance();
  }
}

test("a broadcast waits for what it depends on, and what is behind it for its turn", () => {
  const stage = new Stage();
  stage.broadcast("first", { rooms: ["a"] });
  const join = stage.ask("join", { joins: ["a"] });
  stage.broadcast("free", { rooms: ["b"] });
  stage.broadcast("all");
  stage.broadcast("held", { rooms: ["a"], except: ["x"] }, ["one", "two"]);
  stage.broadcast("behind", { rooms: ["b"] });
  stage.message("ask");
  assert.deepEqual(stage.said, ["first at once", "join", "free at once", "all at once", "held to one+two"]);
  stage.pass(join);
  assert.deepEqual(stage.said.slice(5), ["held to a -x -one -two", "behind to b", "ask"]);
  assert.equal(stage.line.isEmpty, true);
});

test("each waits for its own: what is asked without end does not keep it", () => {
  const stage = new Stage();
  const first = stage.ask("join 1", { joins: ["a"] });
  stage.broadcast("one", { rooms: ["a"] });
  const second = stage.ask("join 2", { joins: ["a"] });
  stage.broadcast("two", { except: ["a"] });
  assert.deepEqual(stage.said, ["join 1", "join 2"]);
  stage.pass(first);
  assert.deepEqual(stage.said.slice(2), ["one to a"]);
  stage.pass(second);
  assert.deepEqual(stage.said.slice(3), ["two to  -a"]);
});

test("what takes somebody out of reach does not overtake a broadcast to them", () => {
  const stage = new Stage();
  const join = stage.ask("join", { joins: ["a"] });
  stage.broadcast("bye", { rooms: ["a"] });
  stage.ask("leave b", { leaves: ["b"] });
  const leave = stage.ask("leave a", { leaves: ["a"] });
  stage.ask("join b", { joins: ["b"] });
  stage.broadcast("next", { rooms: ["a"] });
  assert.deepEqual(stage.said, ["join", "leave b"]);
  stage.pass(join);
  assert.deepEqual(stage.said.slice(2), ["bye to a", "leave a", "join b"]);
  stage.pass(leave);
  assert.deepEqual(stage.said.slice(5), ["next to a"]);
  const kick = stage.ask("kick");
  stage.broadcast("gone");
  stage.ask("kick 2");
  assert.deepEqual(stage.said.slice(6), ["kick"]);
  stage.pass(kick);
  assert.deepEqual(stage.said.slice(7), ["gone to ", "kick 2"]);
});

test("who is another's no more when the other one leaves is told, who comes is told at once, and who is new or joined since is not", () => {
  const stage = new Stage();
  stage.ask("join", { joins: ["a"] });
  stage.broadcast("held", { rooms: ["a"], except: ["x"] }, ["here"]);
  stage.line.spare("new");
  stage.line.spare("joins", new Set(["b"]));
  stage.line.spare("was in it", new Set(["a"]));
  stage.line.spare("leaves x", new Set(["a", "x"]));
  stage.line.catchUp("back", new Set(["a"]));
  stage.line.catchUp("elsewhere", new Set(["b"]));
  stage.line.catchUp("here", new Set(["a"]));
  stage.fence.remove("other");
  stage.line.advance();
  assert.deepEqual(stage.said, ["join", "held to here", "held to back", "held to a -x -here -new -joins -leaves x -back -elsewhere"]);
});

test("a worker that stands still is waited for two seconds, once", (): void => {
  mock.timers.enable({ apis: ["setTimeout", "setImmediate"] });
  try {
    const stage = new Stage();
    stage.ask("join", { joins: ["a"] });
    stage.now = 500;
    stage.broadcast("held", { rooms: ["a"] });
    mock.timers.tick(1_499);
    assert.deepEqual(stage.said, ["join"]);
    mock.timers.tick(2);
    assert.deepEqual(stage.said, ["join", "held to a"]);
    const next = stage.ask("join 2", { joins: ["a"] });
    stage.broadcast("free", { rooms: ["a"] });
    assert.deepEqual(stage.said.slice(2), ["join 2", "free at once"]);
    stage.pass(next);
    stage.ask("join 3", { joins: ["a"] });
    stage.broadcast("held again", { rooms: ["a"] });
    assert.deepEqual(stage.said.slice(4), ["join 3"]);
  } finally {
    mock.timers.reset();
  }
});

test("at the bound nothing waits any more, and all is said in its order", () => {
  for (const overflow of ["broadcast", "message"] as const) {
    const stage = new Stage();
    stage.ask("join", { joins: ["a"] });
    stage.broadcast("one", { rooms: ["a"] }, [], 5 << 20);
    stage[overflow]("two", { rooms: ["a"] } as never, ...([[], 5 << 20].slice(overflow === "message" ? 1 : 0) as never[]));
    assert.deepEqual(stage.said, ["join", "one to a", overflow === "broadcast" ? "two at once" : "two"]);
    stage.broadcast("three", { rooms: ["a"] });
    assert.deepEqual(stage.said.slice(3), ["three at once"]);
  }
});

test("more sockets than a frame can name are told with all others", () => {
  const stage = new Stage();
  stage.ask("join", { joins: ["a"] });
  stage.broadcast("held", { rooms: ["a"] });
  stage.broadcast("much", { rooms: ["a"], except: ["x"] }, Array.from({ length: 0xffff }, (_, number) => `${number}`));
  assert.deepEqual(stage.said, ["join", "held to a", "much at once"]);
});

test("what waits can be waited for", async () => {
  const stage = new Stage();
  assert.equal(stage.line.said(), undefined);
  const join = stage.ask("join", { joins: ["a"] });
  stage.broadcast("held", { rooms: ["a"] });
  const said = stage.line.said();
  stage.pass(join);
  await said;
  assert.deepEqual(stage.said, ["join", "held to a"]);
});
