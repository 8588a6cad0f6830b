// Whose word about a client's address counts: a trusted proxy's, in each form; nobody else's.
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { serveDev, until } from "./daemon.mjs";
import { refusals } from "./metrics.mjs";
import { TEXT, Wire, frame, upgrade } from "./raw.mjs";

const [PROXY, STRANGER] = ["127.0.0.2", "127.0.0.1"];
let daemon;
before(async () => { daemon = await serveDev("--shards", "1", "--set", `proxies.trusted=["${PROXY}","10.0.0.0/8","::1"]`); });
after(async () => assert.equal(await daemon.stop(), 0, daemon.log()));

const socket = (...headers) => upgrade("/socket.io/?EIO=4&transport=websocket", ...headers);

/** PROXY protocol 2.2: signature, version and command, family, length, addresses. */
function proxyHeader(command, family, addresses) {
  const body = Buffer.from(addresses);
  return Buffer.concat([Buffer.from("0d0a0d0a000d0a515549540a", "hex"), Buffer.from([command, family, body.length >> 8, body.length & 255]), body]);
}
const v4 = (...octets) => [...octets, 127, 0, 0, 1, 0x30, 0x39, 0, 80];
const v6 = (last) => [0x20, 1, 0xd, 0xb8, ...Array(11).fill(0), last, ...Array(15).fill(0), 1, 0x30, 0x39, 0, 80];
const [LOCAL, PROXIED, TCP4, TCP6] = [0x20, 0x21, 0x11, 0x21];

// From where, what is sent, and the address that counts.
const CLAIMS = [
  ["a stranger's X-Forwarded-For", STRANGER, [socket("X-Forwarded-For: 6.6.6.6")], STRANGER],
  ["a stranger's Forwarded", STRANGER, [socket("Forwarded: for=6.6.6.6")], STRANGER],
  ["a proxy without a word", PROXY, [socket()], PROXY],
  ["X-Forwarded-For", PROXY, [socket("X-Forwarded-For: 1.2.3.4")], "1.2.3.4"],
  ["X-Forwarded-For with a port", PROXY, [socket("X-Forwarded-For: 1.2.3.4:5678")], "1.2.3.4"],
  ["X-Forwarded-For of IPv6", PROXY, [socket("X-Forwarded-For: 2001:db8::7")], "2001:db8::7"],
  ["X-Forwarded-For that the client began", PROXY, [socket("X-Forwarded-For: 6.6.6.6, 1.2.3.4")], "1.2.3.4"],
  ["X-Forwarded-For in two headers", PROXY, [socket("X-Forwarded-For: 6.6.6.6", "X-Forwarded-For: 1.2.3.4")], "1.2.3.4"],
  ["X-Forwarded-For through two proxies", PROXY, [socket("X-Forwarded-For: 6.6.6.6, 1.2.3.4, 10.1.1.1")], "1.2.3.4"],
  ["X-Forwarded-For of nonsense", PROXY, [socket("X-Forwarded-For: <script>")], PROXY],
  ["Forwarded (RFC 7239)", PROXY, [socket("Forwarded: for=1.2.3.4;proto=https;by=10.0.0.1")], "1.2.3.4"],
  ["Forwarded of IPv6 with a port", PROXY, [socket('Forwarded: for="[2001:db8::7]:4711"')], "2001:db8::7"],
  ["Forwarded that the client began", PROXY, [socket('Forwarded: for=6.6.6.6, for="1.2.3.4:80"')], "1.2.3.4"],
  ["Forwarded and X-Forwarded-For that agree", PROXY, [socket("Forwarded: for=1.2.3.4", "X-Forwarded-For: 1.2.3.4")], "1.2.3.4"],
  ["Forwarded with an obfuscated name", PROXY, [socket("Forwarded: for=_hidden")], PROXY],
  ["Forwarded with quotes that hide a comma", PROXY, [socket('Forwarded: for=1.2.3.4;host="x, for=6.6.6.6"')], "1.2.3.4"],
  ["PROXY v2, IPv4", PROXY, [proxyHeader(PROXIED, TCP4, v4(1, 2, 3, 4)), socket()], "1.2.3.4"],
  ["PROXY v2, IPv6", PROXY, [proxyHeader(PROXIED, TCP6, v6(7)), socket()], "2001:db8::7"],
  ["PROXY v2 with more after the addresses", PROXY, [proxyHeader(PROXIED, TCP4, [...v4(1, 2, 3, 4), 4, 0, 1, 9]), socket()], "1.2.3.4"],
  ["PROXY v2 of the proxy itself", PROXY, [proxyHeader(LOCAL, 0, []), socket()], PROXY],
  ["PROXY v2 a byte at a time", PROXY, [...proxyHeader(PROXIED, TCP4, v4(1, 2, 3, 4))].map((byte) => Buffer.from([byte])).concat(Buffer.from(socket())), "1.2.3.4"],
  ["PROXY v2 names a client, whose header is not believed", PROXY, [proxyHeader(PROXIED, TCP4, v4(1, 2, 3, 4)), socket("X-Forwarded-For: 6.6.6.6")], "1.2.3.4"],
  ["PROXY v2 names a trusted proxy, whose header is", PROXY, [proxyHeader(PROXIED, TCP4, v4(10, 1, 1, 1)), socket("X-Forwarded-For: 1.2.3.4")], "1.2.3.4"],
];

// PROXY headers that are refused, and what is counted.
const BROKEN = [
  ["a stranger's", STRANGER, [proxyHeader(PROXIED, TCP4, v4(6, 6, 6, 6)), socket()], "RW-2001"],
  ["of version 3", PROXY, [proxyHeader(0x31, TCP4, v4(1, 2, 3, 4)), socket()], "RW-2111"],
  ["of an unknown command", PROXY, [proxyHeader(0x22, TCP4, v4(1, 2, 3, 4)), socket()], "RW-2111"],
  ["with half an address", PROXY, [proxyHeader(PROXIED, TCP4, [1, 2, 3]), socket()], "RW-2111"],
  ["with IPv6 in the room of IPv4", PROXY, [proxyHeader(PROXIED, TCP6, v4(1, 2, 3, 4)), socket()], "RW-2111"],
  ["that is too long", PROXY, [proxyHeader(PROXIED, TCP4, Array(5000).fill(1)), socket()], "RW-2111"],
  ["of version 1, as text", PROXY, ["PROXY TCP4 1.2.3.4 127.0.0.1 1234 80\r\n", socket()], "RW-2001"],
];

describe("a client's address", { timeout: 30_000 }, () => {
  for (const [name, from, bytes, address] of CLAIMS) {
    test(`${name}: ${address}`, async () => {
      const wire = (await Wire.open(daemon.port, from)).send(...bytes, frame(TEXT, "40"));
      await wire.reads(/40\{"sid"/);
      const { connections } = await (await fetch(`${daemon.admin}/api/v1/connections`)).json();
      assert.deepEqual(connections.map((row) => row.address), [address]);
      wire.close();
      await until(async () => (await (await fetch(`${daemon.admin}/api/v1/connections`)).json()).connections.length === 0);
    });
  }

  for (const [name, from, bytes, code] of BROKEN) {
    test(`a PROXY header ${name} ends the connection`, async () => {
      const earlier = (await refusals(daemon))[code] ?? 0;
      const wire = (await Wire.open(daemon.port, from)).send(...bytes);
      assert.doesNotMatch(await wire.ends(), / 101 /);
      await until(async () => (await refusals(daemon))[code] === earlier + 1);
    });
  }
});
