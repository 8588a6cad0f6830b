// Bytes on a socket: what no client library would send.
import { randomBytes } from "node:crypto";
import net from "node:net";

/** A TCP connection of which everything that came is kept. */
export class Wire {
  bytes = Buffer.alloc(0);
  ended = false;
  #waiting = [];

  constructor(socket) {
    this.socket = socket;
    socket.on("data", (chunk) => { this.bytes = Buffer.concat([this.bytes, chunk]); this.#look(); });
    // A reset is an end as well: what came before it is what counts.
    for (const end of ["end", "error", "close"]) socket.on(end, () => { this.ended = true; this.#look(); });
  }

  /** Connects, from an address of one's own choice if that matters. */
  static async open(port, localAddress) {
    const socket = net.connect({ port, host: "127.0.0.1", localAddress, noDelay: true });
    await new Promise((resolve, reject) => { socket.once("connect", resolve); socket.once("error", reject); });
    return new Wire(socket);
  }

  send(...pieces) {
    for (const piece of pieces) if (!this.socket.destroyed) this.socket.write(piece);
    return this;
  }

  /** Everything that came, as text. */
  text = () => this.bytes.toString("latin1");

  /** Resolves with the text once it matches; rejects when the peer ends before. */
  async reads(pattern) {
    await this.#until(() => pattern.test(this.text()) || this.ended);
    if (!pattern.test(this.text())) throw new Error(`ended before ${pattern}: ${this.text()}`);
    return this.text();
  }

  /** Resolves with the text once the peer ended. */
  async ends() {
    await this.#until(() => this.ended);
    return this.text();
  }

  close() {
    this.socket.destroy();
  }

  #until(condition) {
    return new Promise((resolve) => { this.#waiting.push([condition, resolve]); this.#look(); });
  }

  #look() {
    const [met, rest] = [[], []];
    for (const entry of this.#waiting) (entry[0]() ? met : rest).push(entry);
    this.#waiting = rest;
    for (const [, resolve] of met) resolve();
  }
}

/** A request head with its empty line; `Host` is given unless a line says otherwise. */
export function head(line, ...headers) {
  const host = headers.some((header) => /^host\s*:/i.test(header)) ? [] : ["Host: it"];
  return [line, ...host, ...headers, "", ""].join("\r\n");
}

/** A request for a WebSocket. */
export const upgrade = (path, ...headers) => head(
  `GET ${path} HTTP/1.1`, "Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==", ...headers,
);

export const [TEXT, BINARY, CLOSE, PING] = [1, 2, 8, 9];

/** A client's frame (RFC 6455 section 5.2), or what only looks like one. */
export function frame(opcode, payload = "", { fin = true, rsv = 0, masked = true, length } = {}) {
  const body = Buffer.from(payload);
  const bytes = length ?? body.length;
  const header = bytes < 126 ? [bytes] : bytes < 65_536 ? [126, bytes >> 8, bytes & 255] : [127, ...uint64(bytes)];
  if (masked) header[0] |= 0x80;
  const mask = masked ? randomBytes(4) : Buffer.alloc(4);
  return Buffer.concat([Buffer.from([(fin ? 0x80 : 0) | rsv << 4 | opcode, ...header]), masked ? mask : Buffer.alloc(0), Buffer.from(body.map((byte, at) => byte ^ mask[at % 4]))]);
}

const uint64 = (value) => { const bytes = Buffer.alloc(8); bytes.writeBigUInt64BE(BigInt(value)); return bytes; };

/** A server's frames behind the answer to an upgrade. */
export function frames(bytes) {
  const found = [];
  let rest = bytes.subarray(bytes.indexOf("\r\n\r\n") + 4);
  while (rest.length >= 2) {
    const short = rest[1] & 127;
    const start = short < 126 ? 2 : short === 126 ? 4 : 10;
    if (rest.length < start) break;
    const length = short < 126 ? short : short === 126 ? rest.readUInt16BE(2) : Number(rest.readBigUInt64BE(2));
    if (rest.length < start + length) break;
    found.push({ opcode: rest[0] & 15, rsv: rest[0] >> 4 & 7, payload: rest.subarray(start, start + length) });
    rest = rest.subarray(start + length);
  }
  return found;
}

/** Code and reason of the close frame that ended a WebSocket; undefined when there was none. */
export function closing(bytes) {
  const close = frames(bytes).find(({ opcode }) => opcode === CLOSE);
  return close && { code: close.payload.length >= 2 ? close.payload.readUInt16BE(0) : undefined, reason: close.payload.subarray(2).toString() };
}
