// Numbered events both ways, and the judge of them. Clients number what they say, and the application writes down which ones a handler ran for: that an
// acknowledgement was called says little, as a client calls each once. The application numbers what it says to each client and to all (counting.mjs).
import assert from "node:assert/strict";
import { until } from "../it/daemon.mjs";

/** What the application must have in its environment. */
export const COUNTING = { COUNTS: "5" };

/** One client's part. */
class Run {
  sent = 0;
  answers = [];
  /** What the application said, by the process that said it. */
  counted = new Map();
  chorus = new Map();
  /** Attachments that were not those of their number. */
  wrong = 0;

  constructor(socket) {
    this.socket = socket;
    for (const name of ["counted", "chorus"]) socket.on(name, (pid, number, part) => this.#hear(name, pid, number, part));
  }

  #hear(name, pid, number, part) {
    if (!this[name].has(pid)) this[name].set(pid, []);
    this[name].get(pid).push(number);
    if (number % 3 === 0 && part?.toString() !== `${number}`) this.wrong += 1;
  }

  /** Not awaited: many are on the way at once, some with attachments, and each must be answered in its turn. */
  say() {
    const number = this.sent++;
    const parts = [...Array(number % 4).keys()].map((part) => Buffer.from(`${number}-${part}`));
    this.socket.emit("echo", [number, ...parts], ([answer, ...heard]) => {
      this.answers.push(answer);
      if (!parts.every((part, at) => part.equals(heard[at]))) this.wrong += 1;
    });
  }
}

export class Numbered {
  runs;
  #goes = true;
  #saying;

  /** Begins at once; `stage.workers` are or will be with COUNTING. */
  constructor(stage, sockets, { pause_ms = 3 } = {}) {
    this.stage = stage;
    this.runs = sockets.map((socket) => new Run(socket));
    this.#saying = this.runs.map(async (run) => {
      for (; this.#goes; await new Promise((resolve) => setTimeout(resolve, pause_ms))) run.say();
    });
  }

  get events() {
    return this.runs.reduce((sum, { sent }) => sum + sent, 0);
  }

  /** How much the application said that was heard. */
  get heard() {
    const count = (heard) => [...heard.values()].reduce((sum, { length }) => sum + length, 0);
    return this.runs.reduce((sum, run) => sum + count(run.counted) + count(run.chorus), 0);
  }

  /** Until the first client was answered so many more. */
  async goesOn(more) {
    const { answers } = this.runs[0];
    const before = answers.length;
    await until(() => answers.length > before + more);
  }

  /** Ends, and resolves when all is answered, and the application rests; with what it says that it said to each. */
  async end() {
    this.#goes = false;
    await Promise.all(this.#saying);
    for (const run of this.runs) await until(() => run.answers.length >= run.sent).catch((error) => { throw new Error(`${error.message}: ${this.#missing(run)}`); });
    return Promise.all(this.runs.map(({ socket }) => socket.timeout(10_000).emitWithAck("rest")));
  }

  /** What a client waits for, and whether it is the event or its answer that was lost; its number modulo 4 is how many attachments it has. */
  #missing(run) {
    const ran = this.ran(run);
    const unanswered = [...Array(run.sent).keys()].filter((number) => !run.answers.includes(number));
    const of = (number) => `${number} (run by ${ran.findIndex((numbers) => numbers.includes(number))})`;
    return `client ${run.socket.id}, ${run.answers.length} of ${run.sent}, not answered: ${unanswered.map(of)}, ${run.socket.disconnects}; the last of each worker: ${ran.map((numbers) => numbers.at(-1))}`;
  }

  /** The numbers of the client's events that a handler ran for, worker by worker. */
  ran({ socket }) {
    return ranBy(this.stage.workers, socket.id);
  }

  /** Each event was run, and answered, once and in its turn. */
  judgeEvents({ inTurn = true } = {}) {
    const sorted = (numbers) => (inTurn ? numbers : numbers.toSorted((one, other) => one - other));
    for (const run of this.runs) {
      const all = [...Array(run.sent).keys()];
      assert.deepEqual(sorted(this.ran(run).flat()), all, "what handlers ran for");
      assert.deepEqual(sorted(run.answers), all, "what was answered");
      assert.equal(run.wrong, 0, "attachments");
      assert.deepEqual(run.socket.disconnects, []);
    }
  }

  /** What a process said a client heard once and in its turn: from where it began to listen, and of the processes that took it over later from the first word on. */
  judgeWords() {
    for (const { counted, chorus } of this.runs) {
      assert.ok(counted.size > 0 && chorus.size > 0, "the application says something");
      const [, ...later] = counted.values();
      for (const numbers of [...counted.values(), ...chorus.values()]) assert.deepEqual(numbers, [...numbers.keys()].map((at) => at + numbers[0]));
      for (const [first] of later) assert.equal(first, 0);
    }
  }

  /** And all of it, as the process counts that is there at the end. */
  judgeEnd(rests) {
    this.runs.forEach(({ counted, chorus }, at) => {
      const { pid, ...rest } = rests[at];
      assert.equal(counted.get(pid).at(-1), rest.counted - 1);
      assert.equal(chorus.get(pid).at(-1), rest.chorus - 1);
    });
  }
}

/** The same of any client: for each worker the numbers that a handler of it ran for. */
export function ranBy(workers, id) {
  return workers.map((worker) => worker.events.filter((event) => event.event === "ran" && event.id === id).map(({ number }) => number));
}
