// The WebSocket frame of a broadcast as engine.io shows it to `packetCreate` (`wsPreEncodedFrame`): nobody sends it from here.

/** RFC 6455 §5.2: one whole text frame without a mask. */
const FIN_TEXT = 0x81;

/** The header and the payload of an Engine.IO message that is a text. */
export function preEncodedFrame(text: string): [header: Buffer, payload: Buffer] {
  const payload = Buffer.from(`4${text}`);
  return [headerOf(payload.length), payload];
}

function headerOf(length: number): Buffer {
  if (length < 126) return Buffer.of(FIN_TEXT, length);
  if (length < 0x1_0000) {
    const header = Buffer.of(FIN_TEXT, 126, 0, 0);
    header.writeUInt16BE(length, 2);
    return header;
  }
  const header = Buffer.of(FIN_TEXT, 127, 0, 0, 0, 0, 0, 0, 0, 0);
  header.writeBigUInt64BE(BigInt(length), 2);
  return header;
}
