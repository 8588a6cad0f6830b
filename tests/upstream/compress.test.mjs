// Whether what the application says is compressed is to be seen on the wire alone: by the bit RSV1 of a WebSocket's frames (RFC 7692 §6).
import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer } from "node:http";
import net from "node:net";
import { fileURLToPath } from "node:url";
import test from "node:test";
import { Server } from "socket.io";
import { attachRingway } from "../../packages/realtime-sdk/dist/esm/server.js";
import { until } from "../it/daemon.mjs";
import { on } from "./stage.mjs";

const RSV1 = 0x40;
const TEXT = "a".repeat(5_000);

/** A WebSocket that has agreed to permessage-deflate, and what comes of it as frames. */
class Wire {
  #bytes = Buffer.alloc(0);

  constructor(port) {
    this.socket = net.connect(port, "127.0.0.1");
    this.socket.on("data", (chunk) => { this.#bytes = Buffer.concat([this.#bytes, chunk]); });
    this.socket.write([
      "GET /socket.io/?EIO=4&transport=websocket HTTP/1.1", `Host: 127.0.0.1:${port}`, "Connection: Upgrade", "Upgrade: websocket",
      "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==", "Sec-WebSocket-Extensions: permessage-deflate", "", "",
    ].join("\r\n"));
  }

  /** The head of the answer. */
  async head() {
    const end = await until(() => this.#bytes.indexOf("\r\n\r\n") + 1);
    const head = this.#bytes.subarray(0, end).toString("latin1");
    this.#bytes = this.#bytes.subarray(end + 3);
    return head;
  }

  /** A text message, under a mask of nothing. */
  say(text) {
    this.socket.write(Buffer.concat([Buffer.from([0x81, 0x80 | text.length, 0, 0, 0, 0]), Buffer.from(text)]));
  }

  #take() {
    const [, short] = this.#bytes;
    if (this.#bytes.length < 4) return undefined;
    const [from, length] = (short & 0x7f) === 126 ? [4, this.#bytes.readUInt16BE(2)] : [2, short & 0x7f];
    if (this.#bytes.length < from + length) return undefined;
    const frame = this.#bytes.subarray(0, from + length);
    this.#bytes = this.#bytes.subarray(from + length);
    return { opcode: frame[0] & 0x0f, isCompressed: (frame[0] & RSV1) !== 0, bytes: length };
  }

  frame() {
    return until(() => this.#take());
  }
}

/** What is compressed of what an application says, each message by itself. */
async function compressed(port, io) {
  const wire = new Wire(port);
  assert.match(await wire.head(), /permessage-deflate/);
  await wire.frame();
  const connected = once(io, "connection");
  wire.say("40");
  const [socket] = await connected;
  // The answer of CONNECT.
  await wire.frame();
  const says = {
    "to one": () => socket.emit("x", TEXT),
    "to one, compress(false)": () => socket.compress(false).emit("x", TEXT),
    "to one, compress(true)": () => socket.compress(true).emit("x", TEXT),
    "to all": () => io.emit("x", TEXT),
    "to all, compress(false)": () => io.compress(false).emit("x", TEXT),
    "to all, compress(true)": () => io.compress(true).emit("x", TEXT),
    "to all, compress(false), with an answer": () => io.compress(false).timeout(100).emit("x", TEXT, () => {}),
    "to one, compress(false), attachment": () => socket.compress(false).emit("x", Buffer.from(TEXT)),
    "to all, compress(false), attachment": () => io.compress(false).emit("x", Buffer.from(TEXT)),
    "to one, attachment": () => socket.emit("x", Buffer.from(TEXT)),
  };
  const seen = {};
  for (const [what, say] of Object.entries(says)) {
    say();
    if (what.includes("attachment")) await wire.frame();
    const { opcode, isCompressed, bytes } = await wire.frame();
    assert.equal(opcode, what.includes("attachment") ? 2 : 1, what);
    assert.equal(bytes < 200, isCompressed, what);
    seen[what] = isCompressed;
  }
  wire.socket.destroy();
  return seen;
}

test("what the application says not to compress is not compressed, to one and to all", on({ args: ["--shards", "1", "--set", "websocket.deflate=true"] }, async (stage) => {
  const io = new Server();
  await attachRingway(io, { url: stage.link, resolveFrom: fileURLToPath(import.meta.url) }).ready;
  const http = createServer();
  const stock = new Server(http, { perMessageDeflate: true });
  try {
    const seen = await compressed(Number(new URL(stage.daemon.url).port), io);
    for (const [what, isCompressed] of Object.entries(seen)) assert.equal(isCompressed, !what.includes("compress(false)"), what);
    await new Promise((resolve) => { http.listen(0, "127.0.0.1", resolve); });
    // engine.io 6.6 hands `compress` on to nobody: a difference that docs/upstream.md names.
    assert.deepEqual(new Set(Object.values(await compressed(http.address().port, stock))), new Set([true]));
  } finally {
    await io.close();
    await stock.close();
  }
}));
