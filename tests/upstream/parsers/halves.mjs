// A parser whose packets are two binary messages: a head without what it says, and that.
import { EventEmitter } from "node:events";

const bytes = (value) => Buffer.from(JSON.stringify(value ?? null));

export class Encoder {
  encode({ data, ...head }) {
    return [bytes(head), bytes(data)];
  }
}

export class Decoder extends EventEmitter {
  add(part) {
    const value = JSON.parse(Buffer.from(part).toString());
    if (this.head === undefined) {
      this.head = value;
      return;
    }
    const packet = value === null ? this.head : { ...this.head, data: value };
    this.head = undefined;
    if (!Number.isInteger(packet.type)) throw new Error("no packet");
    this.emit("decoded", packet);
  }

  destroy() {}
}
