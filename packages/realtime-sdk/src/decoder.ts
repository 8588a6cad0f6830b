// The decoder of a client's packets: socket.io-parser's own, made when there is something for it.
//
// Nearly all that clients say are events and acknowledgements without attachments. Those are read here, by the same rules; all else, and all that is wrong,
// goes to the application's copy of socket.io-parser, which says what is wrong with it. A decoder of its own for each client that hardly ever needs one is a
// tenth of what a client costs. What DEBUG=socket.io-parser shows of the former is not shown.

import type { Decoder, Packet } from "./internals.js";

/** The class of socket.io-parser's decoders. */
export interface DecoderClass {
  new (): Decoder;
  /** Private, in all versions since 4.0: which event names there may be, above all. */
  isPayloadValid?(type: number, payload: unknown): boolean;
}

type Listener = (packet: Packet) => void;

const [EVENT, ACK] = [50, 51];
const [SLASH, BRACKET, ZERO, NINE] = [47, 91, 48, 57];
/** Numbers of more digits are not what they say. */
const ID_DIGITS_MAX = 15;

/** The packet, if it is an event or an acknowledgement of the usual form: `2` or `3`, perhaps `/nsp,`, perhaps digits, and a list. */
export function readPacket(text: string, isValid: (type: number, payload: unknown) => boolean): Packet | undefined {
  const first = text.charCodeAt(0);
  if (first !== EVENT && first !== ACK) return undefined;
  let at = 1;
  let nsp = "/";
  if (text.charCodeAt(at) === SLASH) {
    const comma = text.indexOf(",", at);
    if (comma < 0) return undefined;
    nsp = text.slice(at, comma);
    at = comma + 1;
  }
  const digits = at;
  for (let code = text.charCodeAt(at); code >= ZERO && code <= NINE; code = text.charCodeAt(at)) at += 1;
  if (text.charCodeAt(at) !== BRACKET || at - digits > ID_DIGITS_MAX) return undefined;
  const data = listOf(text, at);
  const type = first - ZERO;
  if (data === undefined || !isValid(type, data)) return undefined;
  return at === digits ? { type, nsp, data } : { type, nsp, id: Number(text.slice(digits, at)), data };
}

function listOf(text: string, at: number): unknown {
  try {
    return JSON.parse(text.slice(at));
  } catch {
    return undefined;
  }
}

/** The class that `Stock` is replaced by; the same one when it is not one that is known. */
export function leanDecoder(Stock: DecoderClass): DecoderClass {
  if (typeof Stock.isPayloadValid !== "function") return Stock;
  const isValid = Stock.isPayloadValid.bind(Stock);

  class LeanDecoder implements Decoder {
    #listener: Listener | undefined;
    /** While it waits for attachments. */
    #stock: Decoder | undefined;

    on(event: "decoded", listener: Listener): this {
      if (this.#listener !== undefined || (event as string) !== "decoded") throw new Error("a client has one decoder, which tells it of packets");
      this.#listener = listener;
      return this;
    }

    removeListener(_event: "decoded", listener: Listener): this {
      if (this.#listener === listener) this.#listener = undefined;
      return this;
    }

    add(part: string | Buffer): void {
      const packet = this.#stock === undefined && typeof part === "string" ? readPacket(part, isValid) : undefined;
      if (packet === undefined) this.#addStock(part);
      else this.#listener?.(packet);
    }

    destroy(): void {
      this.#stock?.destroy?.();
      this.#stock = undefined;
    }

    /** One that has thrown is kept: what it waited for, if it did, only it knows. */
    #addStock(part: string | Buffer): void {
      const stock = (this.#stock ??= this.#makeStock());
      stock.add(part);
    }

    #makeStock(): Decoder {
      const stock = new Stock();
      stock.on("decoded", (packet) => {
        this.#stock = undefined;
        this.#listener?.(packet);
      });
      return stock;
    }
  }

  // For those who ask what it is.
  Object.setPrototypeOf(LeanDecoder.prototype, Stock.prototype as object);
  return LeanDecoder;
}
