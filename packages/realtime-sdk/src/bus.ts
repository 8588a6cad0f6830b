// Messages between the adapters of one namespace in several workers. The daemon carries them and does not look inside.
//
// A u8: 0 is JSON behind it, 1 is a u32 count of attachments, each behind its length as u32, and then JSON in which
// `{"_placeholder":true,"num":n}` stands for the n-th: as Socket.IO's own packets do it.

interface Placeholder {
  _placeholder: true;
  num: number;
}

function isPlaceholder(value: unknown): value is Placeholder {
  return typeof value === "object" && value !== null && (value as Placeholder)._placeholder === true;
}

/** The bytes of a message. */
export function encodeBus(message: object): Buffer {
  const attachments: Uint8Array[] = [];
  const text = JSON.stringify(message, function (this: Record<string, unknown>, key, value: unknown) {
    // Before `toJSON`: a Buffer would have become a list of numbers already.
    const raw = this[key];
    if (raw instanceof ArrayBuffer) attachments.push(new Uint8Array(raw));
    else if (ArrayBuffer.isView(raw)) attachments.push(new Uint8Array(raw.buffer, raw.byteOffset, raw.byteLength));
    else return value;
    return { _placeholder: true, num: attachments.length - 1 };
  });
  if (attachments.length === 0) return Buffer.concat([Buffer.of(0), Buffer.from(text)]);
  const u32 = (value: number): Buffer => {
    const bytes = Buffer.alloc(4);
    bytes.writeUInt32LE(value);
    return bytes;
  };
  const blocks = attachments.flatMap((bytes) => [u32(bytes.byteLength), bytes]);
  return Buffer.concat([Buffer.of(1), u32(attachments.length), ...blocks, Buffer.from(text)]);
}

/** The message; throws when the bytes are none. */
export function decodeBus(bytes: Buffer): Record<string, unknown> {
  const attachments: Buffer[] = [];
  let at = 1;
  if (bytes.readUInt8(0) === 1) {
    const count = bytes.readUInt32LE(1);
    at = 5;
    for (let index = 0; index < count; index += 1) {
      const end = at + 4 + bytes.readUInt32LE(at);
      if (end > bytes.length) throw new RangeError("an attachment is not whole");
      attachments.push(Buffer.from(bytes.subarray(at + 4, end)));
      at = end;
    }
  }
  const text = bytes.toString("utf8", at);
  const value: unknown = attachments.length === 0
    ? JSON.parse(text)
    : JSON.parse(text, (_key, item: unknown) => (isPlaceholder(item) ? (attachments[item.num] ?? item) : item));
  if (typeof value !== "object" || value === null) throw new TypeError("no message");
  return value as Record<string, unknown>;
}
