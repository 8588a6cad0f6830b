// Namespaces that clients make: of any name, and as many as they like.

import assert from "node:assert/strict";
import { test } from "node:test";

import { FLAG, MOVED_UNKNOWN, type Fields } from "../src/link/frames.js";
import { Namespaces, type NamespaceAdapter } from "../src/namespaces.js";

const adapter = {} as NamespaceAdapter;

/** Namespaces of a worker, and the frames that it has said. */
function said(): { namespaces: Namespaces; frames: unknown[][] } {
  const frames: unknown[][] = [];
  const send = (name: string, flags: number, conn: unknown, fields: object): void => {
    const { namespace, nsp } = fields as Fields<"NSP"> & Fields<"BUS">;
    frames.push([name, flags, conn, namespace ?? nsp]);
  };
  return { namespaces: new Namespaces("me", { send: send as never, sendMoves: () => {}, can: () => true, hasSession: true, isNative: () => false }), frames };
}

test("a number that is free serves another namespace", () => {
  const { namespaces, frames } = said();
  assert.deepEqual(["/", "/a", "/b"].map((name) => namespaces.add(name, adapter)), [0, 1, 2]);
  namespaces.remove("/a", adapter);
  assert.deepEqual(["/c", "/d"].map((name) => namespaces.add(name, adapter)), [1, 3]);
  assert.deepEqual(frames.slice(3), [["NSP", FLAG.REMOVED, 1, "/a"], ["NSP", 0, 1, "/c"], ["NSP", 0, 3, "/d"]]);
});

test("a name that is too long is said as one that the daemon does not take, and nobody else has it", () => {
  const { namespaces, frames } = said();
  const names = [`/${"é".repeat(40_000)}`, `/${"x".repeat(1_024)}`];
  assert.deepEqual(names.map((name) => namespaces.add(name, adapter)), [0xffff, 0xffff]);
  assert.equal(namespaces.add(`/${"x".repeat(1_023)}`, adapter), 0);
  for (const name of names) {
    namespaces.publish(name, Buffer.of());
    namespaces.remove(name, adapter);
  }
  const none = ["NSP", 0, 0xffff, `/${"-".repeat(1_024)}`];
  assert.deepEqual(frames, [none, none, ["NSP", 0, 0, `/${"x".repeat(1_023)}`]]);
});

test("more namespaces than there are numbers are no exception", () => {
  const { namespaces, frames } = said();
  for (let number = 0; number < 0xffff; number += 1) assert.equal(namespaces.add(`/${number}`, adapter), number);
  assert.deepEqual(["/one", "/more"].map((name) => namespaces.add(name, adapter)), [0xffff, 0xffff]);
  namespaces.remove("/one", adapter);
  namespaces.remove("/7", adapter);
  assert.equal(namespaces.add("/free", adapter), 7);
  assert.equal(frames.length, 0xffff + 4);
});

test("sockets that were moved before their namespace is there are moved when it is", () => {
  const { namespaces } = said();
  const taken: string[] = [];
  const moving = { takeMoved: ({ sid }: { sid: string }) => void taken.push(sid) } as unknown as NamespaceAdapter;
  const move = (nsp: string, sid: string, known: number): void =>
    namespaces.receive({ name: "MOVED", flags: 0, conn: 1, nsp, sid, known, what: 2, places: [] });
  move("/a", "one", MOVED_UNKNOWN);
  move("/b", "two", MOVED_UNKNOWN);
  move("/a", "known", 0);
  move("/a", "three", MOVED_UNKNOWN);
  namespaces.add("/a", moving);
  assert.deepEqual(taken, ["one", "three"]);
  move("/a", "four", 0);
  namespaces.add("/a", moving);
  assert.deepEqual(taken, ["one", "three", "four"]);
  for (let number = 0; number < 4_096; number += 1) move("/c", `${number}`, MOVED_UNKNOWN);
  namespaces.add("/b", moving);
  assert.deepEqual(taken.length, 3, "so many are remembered");
});
