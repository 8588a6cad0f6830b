// SIGHUP: keys and limits change for whoever comes next and for whoever is here; a broken file changes nothing and is told.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { ask, connect, modes, versions } from "./clients.mjs";
import { serve, until } from "./daemon.mjs";
import { HS256, claims, forge, keyring, signers, SECRET } from "./keyring.mjs";

const OTHER = "another secret of thirty-two bytes or more";
const ring = keyring();
ring.secret("other", OTHER);
const SECOND = '[[auth.keys]]\nid = "k2"\nalgorithm = "HS256"\nfile = "FOLDER/other"\n';
const token = (kid, secret) => forge({ alg: "HS256", kid }, claims("anna"), signers.HS256(secret));
const [first, second] = [token("k1", SECRET), token("k2", OTHER)];

let daemon, member;
const open = [];
before(async () => {
  daemon = await serve(["--config", ring.config, "--shards", "2"]);
  member = await enter(first);
  assert.equal((await ask(member, "join", "kept")).ok, true);
});
after(async () => {
  open.forEach((socket) => socket.close());
  assert.equal(await daemon.stop(), 0, daemon.log());
});

const enter = (auth, mode = "websocket only") => connect(versions["4.8"], daemon.url, { ...modes[mode], auth: { token: auth } }, open);
const refused = (auth, code) => assert.rejects(enter(auth), (error) => error.data?.code === code);

/** Writes a configuration, sends SIGHUP, and waits until the log says what became of it. */
async function reload(toml, says) {
  const earlier = daemon.log().length;
  ring.configure(toml);
  daemon.process.kill("SIGHUP");
  await until(() => says.test(daemon.log().slice(earlier)));
}
const DONE = /reloaded keys, origins, proxies and limits/;

test("a key that is added opens; one that is removed does not, and its connections stay", { timeout: 30_000 }, async () => {
  await refused(second, "RW-2103");
  await reload(HS256 + SECOND, DONE);
  for (const each of [first, second]) assert.equal((await ask(await enter(each), "echo", 1)).ok, true);
  await reload(SECOND, DONE);
  await until(() => enter(first).then(() => false, (error) => error.data.code === "RW-2103"));
  assert.equal((await ask(await enter(second), "echo", 1)).ok, true);
  assert.equal((await ask(member, "publish", "kept", 1)).ok, true);
  assert.equal((await ask(member, "refresh", first)).code, "RW-2103");
  assert.equal((await ask(member, "refresh", second)).ok, true);
});

test("a rate limit that changes counts for connections that are here", { timeout: 30_000 }, async () => {
  for (let i = 0; i < 20; i++) assert.equal((await ask(member, "echo", i)).ok, true);
  await reload(`${SECOND}[limits]\nconnection_events_per_second = 1\nconnection_events_burst = 1\n`, DONE);
  await until(async () => (await ask(member, "echo", 1)).code === "RW-2201");
  await reload(SECOND, DONE);
  await until(async () => (await ask(member, "echo", 1)).ok);
  for (let i = 0; i < 20; i++) assert.equal((await ask(member, "echo", i)).ok, true);
});

for (const [name, toml, code] of [
  ["that is no TOML", "[[[", "RW-1011"],
  ["with an unknown key", `${SECOND}\n[limits]\nspeed = 1\n`, "RW-1008"],
  ["with a wrong value", `${SECOND}\n[limits]\nqueue_packets_max = "many"\n`, "RW-1009"],
  ["without keys", "", "RW-1010"],
  ["with a key file that is not there", SECOND.replace("FOLDER/other", "/no/such/file"), "RW-1007"],
  ["with a network that is none", `${SECOND}\n[proxies]\ntrusted = ["everybody"]\n`, "RW-1009"],
]) {
  test(`a file ${name} changes nothing, and is told with its code`, { timeout: 30_000 }, async () => {
    await reload(toml, new RegExp(`ERROR.*nothing was reloaded: ${code}`));
    assert.equal((await ask(await enter(second), "echo", 1)).ok, true);
    assert.equal((await ask(member, "echo", 1)).ok, true);
  });
}
