// Rooms with wild names, and messages of odd JSON: what is no name is refused, what is JSON arrives as it was sent.
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { ask, connect, modes, versions } from "./clients.mjs";
import { event, serveDev } from "./daemon.mjs";
import { TEXT, Wire, frame, frames, upgrade } from "./raw.mjs";

let daemon, member;
const open = [];
before(async () => {
  daemon = await serveDev("--shards", "2");
  member = await connect(versions["4.8"], daemon.url, modes["websocket only"], open);
});
after(async () => {
  open.forEach((socket) => socket.close());
  assert.equal(await daemon.stop(), 0, daemon.log());
});

const NAMES = ["a", " ", "x".repeat(256), "löbby ✓", "👩‍👩‍👧‍👦", "\u202egnp.exe", "../../etc/passwd", "a/b", "a,b", "*", "?", "%00", "__proto__", "constructor", '"', "\\", "<script>", "[", "0"];
const NO_NAMES = ["", "x".repeat(257), "é".repeat(129), "x".repeat(900_000), "a\0b", "a\nb", "\x7f", "\x85", "\ud800", 7, null, true, {}, ["a"], undefined];
const shown = (name) => JSON.stringify(name)?.slice(0, 40);

describe("wild names", { timeout: 30_000 }, () => {
  for (const name of NAMES) {
    test(`${shown(name)} is a room`, async () => {
      assert.equal((await ask(member, "join", name)).ok, true);
      const heard = event(member, "message");
      assert.equal((await ask(member, "publish", name, { to: name })).ok, true);
      assert.deepEqual((await heard).slice(0, 2), [name, { to: name }]);
      const row = await (await fetch(`${daemon.admin}/api/v1/rooms/${encodeURIComponent(name)}`)).json();
      assert.deepEqual([row.room, row.members], [name, 1]);
      assert.equal((await ask(member, "leave", name)).ok, true);
    });
  }

  for (const name of NO_NAMES) {
    test(`${shown(name)} is none`, async () => {
      for (const event of ["join", "leave", "publish"]) assert.equal((await ask(member, event, name, 1)).code, "RW-2301", event);
    });
  }
});

/** A raw client in the room, which sees the bytes as they are. */
async function raw() {
  const wire = (await Wire.open(daemon.port)).send(upgrade("/socket.io/?EIO=4&transport=websocket"), frame(TEXT, "40"), frame(TEXT, '420["join","odd"]'));
  open.push(wire);
  await wire.reads(/430\[\{"ok":true/);
  return wire;
}

const deep = (depth) => "[".repeat(depth) + "]".repeat(depth);
const JSONS = [
  ["deep nesting", deep(50_000)],
  ["deep objects", '{"a":'.repeat(20_000) + "1" + "}".repeat(20_000)],
  ["a number beyond doubles", "1e999"],
  ["an integer beyond 64 bits", "123456789012345678901234567890"],
  ["a number of many digits", `0.${"1".repeat(10_000)}`],
  ["negative zero", "-0"],
  ["duplicate keys", '{"a":1,"a":2,"__proto__":{"b":3}}'],
  ["a lone surrogate", '"\\ud800"'],
  ["a lone surrogate beside escapes", '{"text":"cut \\ud83d","control":"\\u0000\\n\\"\\\\"}'],
  ["escapes of everything", '"\\u0000\\u001f\\u2028\\/\\"\\\\"'],
  ["white space", "[ 1 ,\t2 ]"],
  ["an object that looks like a packet", '{"type":2,"nsp":"/","data":["message"]}'],
  ["a placeholder's name alone", '{"num":0}'],
];
const NO_JSONS = ["", "{", "[1,]", "{a:1}", "NaN", "01", "+1", "'a'", '"\n"', '"\\x"', '"\\ud8"', "tru", "1 2", "[1]]", "\ufeff1"];

describe("odd JSON", { timeout: 30_000 }, () => {
  for (const [name, json] of JSONS) {
    test(`${name} arrives as it was sent`, async () => {
      const [sender, reader] = [await raw(), await raw()];
      sender.send(frame(TEXT, `421["publish","odd",${json}]`));
      assert.match(await sender.reads(/431\[.*\}\]/), /431\[\{"ok":true/);
      await reader.reads(/"ts":\d+\}\]/);
      const message = frames(reader.bytes).map(({ payload }) => payload.toString()).find((text) => text.startsWith('42["message"'));
      assert.ok(message.startsWith(`42["message","odd",${json},{`), message.slice(0, 200));
      JSON.parse(message.slice(2));
    });
  }

  for (const json of NO_JSONS) {
    test(`${JSON.stringify(json)} is refused, and costs the connection nothing`, async () => {
      const sender = await raw();
      sender.send(frame(TEXT, `421["publish","odd",${json}]`), frame(TEXT, '422["echo",1]'));
      const answers = await sender.reads(/432\[\{"ok":true/);
      assert.match(answers, /431\[\{"ok":false,"code":"RW-2016"/);
    });
  }
});
