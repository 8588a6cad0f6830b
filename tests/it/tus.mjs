// Requests of tus 1.0.0 by hand, and uploads by tus-js-client as published.
import { createHash, randomBytes } from "node:crypto";
import { readFileSync, readdirSync } from "node:fs";
import http from "node:http";
import path from "node:path";
import * as tus from "tus-js-client";

export const VERSION = { "tus-resumable": "1.0.0" };
export const BYTES = { "content-type": "application/offset+octet-stream" };
export const sha256 = (bytes) => createHash("sha256").update(bytes).digest("hex");
export const metadata = (pairs) => Object.entries(pairs).map(([key, value]) => `${key} ${Buffer.from(value).toString("base64")}`).join(",");

/** One request; `body` may be bytes, or pieces that are sent in chunks. Rejects when the connection breaks before the answer. */
export function request(daemon, method, where, headers = {}, body = undefined) {
  return new Promise((resolve, reject) => {
    const isWhole = body instanceof Uint8Array;
    const length = isWhole ? { "content-length": body.length } : {};
    const options = { host: "127.0.0.1", port: daemon.port, path: where, method, headers: { ...VERSION, ...length, ...headers } };
    const sent = http.request(options, (response) => {
      const chunks = [];
      response.on("data", (chunk) => chunks.push(chunk)).on("error", reject);
      response.on("end", () => resolve({ status: response.statusCode, headers: response.headers, body: Buffer.concat(chunks) }));
    });
    sent.on("error", reject);
    if (isWhole || body === undefined) return void sent.end(body);
    for (const piece of body) sent.write(piece);
    sent.end();
  });
}

/** Creates an upload; gives its path. */
export async function create(daemon, length, headers = {}) {
  const answer = await request(daemon, "POST", "/uploads/", { "upload-length": String(length), ...headers });
  if (answer.status !== 201) throw new Error(`${answer.status} ${answer.body}`);
  return new URL(answer.headers.location, daemon.url).pathname;
}

export const patch = (daemon, where, offset, body, headers = {}) =>
  request(daemon, "PATCH", where, { "upload-offset": String(offset), ...BYTES, ...headers }, body);

/** How many bytes are safe. */
export async function offsetOf(daemon, where, headers = {}) {
  const answer = await request(daemon, "HEAD", where, headers);
  if (answer.status !== 200) throw new Error(`HEAD says ${answer.status}`);
  return Number(answer.headers["upload-offset"]);
}

/** Uploads with the published client; resolves with its URL. */
export const upload = (daemon, bytes, options = {}) => new Promise((resolve, reject) => {
  const client = new tus.Upload(bytes, {
    endpoint: `${daemon.url}/uploads/`,
    chunkSize: 1 << 20,
    retryDelays: [10, 50, 100, 200, 400, 800],
    metadata: { filename: "file.bin" },
    ...options,
    onError: reject,
    onSuccess: () => resolve(client.url),
  });
  client.start();
});

/** The files that are whole: names and bytes. */
export const whole = (folder) => readdirSync(path.join(folder, "whole")).map((name) => ({ name, bytes: readFileSync(path.join(folder, "whole", name)) }));
export const isWhole = (folder, bytes) => whole(folder).some((file) => file.bytes.equals(bytes));

/** Numbers that follow from a seed, which stands in the report of a failure. */
export function random(seed = Number(process.env.UPLOAD_SEED ?? randomBytes(4).readUInt32LE())) {
  console.log(`UPLOAD_SEED=${seed}`);
  let state = seed >>> 0 || 1;
  return (below) => {
    state ^= state << 13; state >>>= 0;
    state ^= state >>> 17;
    state ^= state << 5; state >>>= 0;
    return state % below;
  };
}
