// Namespaces that clients make: of any name, and as many as they like.

import assert from "node:assert/strict";
import { test } from "node:test";

import type { VirtualConnection } from "../src/connection.js";
import { FLAG, MOVED_UNKNOWN, type Conn, type Fields } from "../src/link/frames.js";
import { Namespaces, type NamespaceAdapter } from "../src/namespaces.js";

const adapter = { nsp: {} } as NamespaceAdapter;

/** Namespaces of a worker, and the frames that it has said. Its only client has the number 1, as long as `clients` has it. */
function said(): { namespaces: Namespaces; frames: unknown[][]; clients: Map<Conn, VirtualConnection> } {
  const clients = new Map<Conn, VirtualConnection>([[1, {} as VirtualConnection]]);
  const frames: unknown[][] = [];
  const send = (name: string, flags: number, conn: unknown, fields: object): void => {
    const { namespace, nsp } = fields as Fields<"NSP"> & Fields<"BUS">;
    frames.push([name, flags, conn, namespace ?? nsp]);
  };
  const link = { send: send as never, sendMoves: () => {}, can: () => true, hasSession: true, isNative: () => false };
  return { namespaces: new Namespaces("me", link, (conn) => clients.get(conn)), frames, clients };
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

/** An adapter that notes which sockets it is told of. */
function moving(taken: string[], members: readonly string[] = []): NamespaceAdapter {
  const takeMoved = ({ sid }: { sid: string }): void => void taken.push(sid);
  return { nsp: {}, takeMoved, hasMember: (sid: string) => members.includes(sid), lose: () => {} } as unknown as NamespaceAdapter;
}

function move(namespaces: Namespaces, nsp: string, sid: string, known: number, places: string[] = []): void {
  namespaces.receive({ name: "MOVED", flags: 0, conn: 1, nsp, sid, known, what: 2, places });
}

test("sockets that were moved before their namespace is there are moved when it is", () => {
  const { namespaces } = said();
  const taken: string[] = [];
  move(namespaces, "/a", "one", MOVED_UNKNOWN);
  move(namespaces, "/b", "two", MOVED_UNKNOWN);
  move(namespaces, "/a", "known", 0);
  move(namespaces, "/a", "three", MOVED_UNKNOWN);
  namespaces.add("/a", moving(taken));
  assert.deepEqual(taken, ["one", "three"]);
  move(namespaces, "/a", "four", 0);
  namespaces.add("/a", moving(taken));
  assert.deepEqual(taken, ["one", "three", "four"]);
  for (let number = 0; number < 8_192; number += 1) move(namespaces, "/c", `${number}`, MOVED_UNKNOWN, ["room"]);
  namespaces.add("/b", moving(taken));
  assert.deepEqual(taken.length, 3, "so many are remembered");
});

test("how a client was moved that has gone, or has come anew, says nothing of who has its number now", () => {
  const { namespaces, clients } = said();
  const taken: string[] = [];
  move(namespaces, "/a", "before", MOVED_UNKNOWN);
  clients.set(1, {} as VirtualConnection);
  move(namespaces, "/a", "now", MOVED_UNKNOWN);
  namespaces.add("/a", moving(taken));
  assert.deepEqual(taken, ["now"]);
  move(namespaces, "/b", "lost", MOVED_UNKNOWN);
  namespaces.lose();
  namespaces.add("/b", moving(taken));
  clients.clear();
  move(namespaces, "/c", "nobody", MOVED_UNKNOWN);
  namespaces.add("/c", moving(taken));
  assert.deepEqual(taken, ["now"]);
});

test("a namespace that is closed with somebody on the way has its number as long as he is there", () => {
  const { namespaces, frames } = said();
  const taken: string[] = [];
  const [old, next] = [moving(taken, ["late"]), moving(taken)];
  assert.equal(namespaces.add("/a", old), 0);
  namespaces.remove("/a", old);
  assert.equal(namespaces.add("/b", adapter), 0, "its number is another's");
  assert.equal(namespaces.reopen("/a", old), 1);
  assert.equal(namespaces.add("/a", next), 1, "the application's own shares it");
  namespaces.receive({ name: "MOVED", flags: 0, conn: 1, nsp: "/a", sid: "late", known: 0, what: 2, places: [] });
  namespaces.remove("/a", next);
  assert.equal(frames.length, 4);
  namespaces.remove("/a", old);
  assert.deepEqual(frames.at(-1), ["NSP", FLAG.REMOVED, 1, "/a"]);
  assert.deepEqual(taken, ["late"]);
});
