// A peer of the link that says whatever it is given.
import net from "node:net";

/** The type of an ERROR frame. */
const ERROR = 9;

/** Connects to the link as a liar does; resolves with all that comes back when the daemon closes it. */
export function lie(stage, bytes, at = { path: `${stage.folder}/link.sock` }) {
  return new Promise((resolve) => {
    const socket = net.connect(at, () => socket.write(bytes));
    let said = "";
    socket.on("data", (chunk) => { said += chunk.toString("latin1"); });
    socket.on("error", () => {});
    socket.on("close", () => resolve(said));
  });
}

/** A frame of the link. */
export function frame(type, body = Buffer.alloc(0), conn = 0n, flags = 0) {
  const header = Buffer.alloc(14);
  header.writeUInt32LE(10 + body.length);
  header[4] = type;
  header[5] = flags;
  header.writeBigUInt64LE(conn, 6);
  return Buffer.concat([header, body]);
}

/** HELLO of a worker that anybody could be. */
export function hello(values = {}) {
  const text = JSON.stringify({ proto: [1, 0], app: "default", instance: "liar", role: "worker", nonce: "0".repeat(32), ...values });
  const length = Buffer.alloc(4);
  length.writeUInt32LE(Buffer.byteLength(text));
  return frame(1, Buffer.concat([length, Buffer.from(text), Buffer.alloc(2)]));
}

/** The codes of the ERROR frames (docs/link.md) in what the daemon said. */
export function errorsIn(said) {
  const bytes = Buffer.from(said, "latin1");
  const codes = [];
  for (let at = 0; at + 4 <= bytes.length; at += 4 + bytes.readUInt32LE(at)) {
    if (bytes[at + 4] === ERROR) codes.push(bytes.toString("utf8", at + 16, at + 16 + bytes.readUInt16LE(at + 14)));
  }
  return codes;
}

const [WELCOME, BIND, CREDIT, HS_REQ, HS_RES] = [2, 3, 7, 23, 24];

/** A JSON object as frames have it. */
function json(text) {
  const length = Buffer.alloc(4);
  length.writeUInt32LE(Buffer.byteLength(text));
  return Buffer.concat([length, Buffer.from(text)]);
}

/** A worker that joins, is asked about each handshake, and says the same of all; resolves when it is asked from now on. It counts what it judged. */
export function misjudge(stage, verdict) {
  const liar = { judged: 0, socket: net.connect(`${stage.folder}/link.sock`) };
  const bind = json(JSON.stringify({ path: "/socket.io", opts: {}, rpc: "handshake", parser: "default" }));
  let input = Buffer.alloc(0);
  const [dealt, seen] = [{ frames: 0n, bytes: 0n }, new Set()];
  const take = (type, whole) => {
    // All but the frames of the link itself are counted (docs/link.md).
    if (type > 9 || type === 8) {
      dealt.frames += 1n;
      dealt.bytes += BigInt(whole.length);
      const sums = Buffer.alloc(16);
      sums.writeBigUInt64LE(dealt.frames);
      sums.writeBigUInt64LE(dealt.bytes, 8);
      liar.socket.write(frame(CREDIT, sums));
    }
    if (type === WELCOME) liar.socket.write(frame(BIND, bind));
    if (type === HS_REQ) {
      liar.judged += 1;
      liar.socket.write(frame(HS_RES, Buffer.concat([whole.subarray(14, 18), json(verdict)])));
    }
    seen.add(type);
  };
  liar.socket.write(hello({ name: "bad version", caps: ["handshake"] }));
  return new Promise((resolve, reject) => {
    liar.socket.on("error", reject);
    liar.socket.on("data", (chunk) => {
      input = Buffer.concat([input, chunk]);
      while (input.length >= 4 && input.length >= 4 + input.readUInt32LE()) {
        const whole = input.subarray(0, 4 + input.readUInt32LE());
        input = input.subarray(whole.length);
        take(whole[4], whole);
      }
      // Credit for BIND says that it is obeyed.
      if (seen.has(CREDIT)) resolve(liar);
    });
  });
}
