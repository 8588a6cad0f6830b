// An event as Socket.IO's own parser would write it: a text, and the attachments that its placeholders stand for.
//
// Deliberately absent: everything else of that parser. An emitter hears nothing, and needs no socket.io.

/** A parser's encoder, as socket.io takes it. */
export interface EmitterEncoder {
  encode(packet: EventPacket): (string | ArrayBuffer | ArrayBufferView)[];
}

/** What is encoded. */
export interface EventPacket {
  type: number;
  nsp: string;
  data: unknown[];
}

const EVENT = 2;
const BINARY_EVENT = 5;

/** The packet of an event. */
export function eventPacket(nsp: string, data: unknown[]): EventPacket {
  return { type: EVENT, nsp, data };
}

function viewOf(value: unknown): Uint8Array | undefined {
  if (value instanceof ArrayBuffer) return new Uint8Array(value);
  return ArrayBuffer.isView(value) ? new Uint8Array(value.buffer, value.byteOffset, value.byteLength) : undefined;
}

/** Socket.IO's own encoding. */
export class PlainEncoder implements EmitterEncoder {
  encode({ nsp, data }: EventPacket): (string | Uint8Array)[] {
    const attachments: Uint8Array[] = [];
    const text = JSON.stringify(data, function (this: Record<string, unknown>, key, value: unknown) {
      // Before `toJSON`: a Buffer would have become a list of numbers already.
      const view = viewOf(this[key]);
      if (view === undefined) return value;
      attachments.push(view);
      return { _placeholder: true, num: attachments.length - 1 };
    });
    const type = attachments.length === 0 ? String(EVENT) : `${BINARY_EVENT}${attachments.length}-`;
    return [`${type}${nsp === "/" ? "" : `${nsp},`}${text}`, ...attachments];
  }
}
