// A peer of the link that says whatever it is given.
import net from "node:net";

/** The type of an ERROR frame. */
const ERROR = 9;

/** Connects to the link as a liar does; resolves with all that comes back when the daemon closes it. */
export function lie(stage, bytes) {
  return new Promise((resolve) => {
    const socket = net.connect(`${stage.folder}/link.sock`, () => socket.write(bytes));
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
