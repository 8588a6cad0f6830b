// Messages between workers that no frame can say: they go in pieces, each in a BUS of its own, and the next one when the last was taken. So they do not fill
// the daemon's row for a worker that reads slowly, of which what is too much is dropped.
//
// A piece is a u8 of 2, a u32 number of the message, a u32 of its bytes, a u32 of how many of them came before, and bytes*; the answer is a u8 of 3, the
// number, and a u32 of how many bytes came. To a worker of an earlier version they are no message (bus.ts), and it passes them over.
//
// Deliberately absent: what is for all workers. Of that an order is expected among other messages, and it is one frame or an error.

/** The bytes of one piece: of each other worker one may be on the way, and together they fit into the daemon's row (docs/link.md). */
export const PIECE_BYTES_MAX = 256 << 10;
/** The bytes of a message. */
export const MESSAGE_BYTES_MAX = 128 << 20;
/** What may wait here to go, and what may have come of messages that are not whole: of all together. */
export const WAITING_BYTES_MAX = 256 << 20;
/** How long the other side may take for one piece. */
const PIECE_MS_MAX = 10_000;

const PIECE = 2;
const TAKEN = 3;
const PIECE_HEAD_BYTES = 13;
const TAKEN_BYTES = 9;

/** The way to another worker. */
type Send = (nsp: string, to: string, opaque: Buffer) => void;

interface Going {
  readonly nsp: string;
  readonly to: string;
  readonly number: number;
  readonly bytes: Buffer;
  sent: number;
  timer?: NodeJS.Timeout;
}

interface Coming {
  readonly nsp: string;
  readonly number: number;
  readonly total: number;
  readonly pieces: Buffer[];
  taken: number;
  timer: NodeJS.Timeout;
}

/** What goes and comes in pieces, of one worker. */
export class Pieces {
  readonly #send: Send;
  /** Says that a message is lost, and why. */
  readonly #warn: (why: string) => void;
  /** By whom they are for: one at a time. */
  readonly #going = new Map<string, Going[]>();
  /** By whom they come from: what begins is the end of what came before. */
  readonly #coming = new Map<string, Coming>();
  #goingBytes = 0;
  #comingBytes = 0;
  #lastNumber = 0;

  constructor(send: Send, warn: (why: string) => void) {
    this.#send = send;
    this.#warn = warn;
  }

  /** Whether bytes of BUS are for here. */
  static is(opaque: Buffer): boolean {
    return opaque[0] === PIECE || opaque[0] === TAKEN;
  }

  /** Sends a message. */
  send(nsp: string, to: string, bytes: Buffer): void {
    if (bytes.length > MESSAGE_BYTES_MAX || this.#goingBytes + bytes.length > WAITING_BYTES_MAX) {
      return this.#warn(`it has ${bytes.length} bytes, which is more than one may have (${MESSAGE_BYTES_MAX}), or wait with others (${WAITING_BYTES_MAX})`);
    }
    this.#goingBytes += bytes.length;
    this.#lastNumber = (this.#lastNumber + 1) >>> 0;
    const going: Going = { nsp, to, number: this.#lastNumber, bytes, sent: 0 };
    const others = this.#going.get(to);
    if (others) return void others.push(going);
    this.#going.set(to, [going]);
    this.#sendNext(going);
  }

  #sendNext(going: Going): void {
    const { nsp, to, number, bytes, sent } = going;
    const piece = bytes.subarray(sent, sent + PIECE_BYTES_MAX);
    const head = Buffer.alloc(PIECE_HEAD_BYTES);
    head.writeUInt8(PIECE, 0);
    head.writeUInt32LE(number, 1);
    head.writeUInt32LE(bytes.length, 5);
    head.writeUInt32LE(sent, 9);
    going.sent += piece.length;
    going.timer = setTimeout(() => {
      this.#warn(`the worker that asked took no more of it for ${PIECE_MS_MAX} ms: it may be busy, or of an earlier version`);
      this.#finish(to);
    }, PIECE_MS_MAX);
    going.timer.unref();
    this.#send(nsp, to, Buffer.concat([head, piece]));
  }

  /** The first message to a worker is over: the next one goes. */
  #finish(to: string): void {
    const row = this.#going.get(to) ?? [];
    const done = row.shift();
    clearTimeout(done?.timer);
    this.#goingBytes -= done?.bytes.length ?? 0;
    if (row[0]) this.#sendNext(row[0]);
    else this.#going.delete(to);
  }

  /** Takes what {@link is} of here; gives a message that is whole. */
  take(nsp: string, from: string, opaque: Buffer): Buffer | undefined {
    if (opaque[0] === TAKEN && opaque.length === TAKEN_BYTES) this.#goOn(from, opaque.readUInt32LE(1), opaque.readUInt32LE(5));
    else if (opaque[0] === PIECE && opaque.length > PIECE_HEAD_BYTES) return this.#add(nsp, from, opaque);
    return undefined;
  }

  #goOn(from: string, number: number, taken: number): void {
    const going = this.#going.get(from)?.[0];
    // Of one that was given up nobody waits for more.
    if (going?.number !== number || going.sent !== taken) return;
    clearTimeout(going.timer);
    if (going.sent < going.bytes.length) this.#sendNext(going);
    else this.#finish(from);
  }

  #add(nsp: string, from: string, opaque: Buffer): Buffer | undefined {
    const [number, total, at] = [opaque.readUInt32LE(1), opaque.readUInt32LE(5), opaque.readUInt32LE(9)];
    const bytes = opaque.subarray(PIECE_HEAD_BYTES);
    const coming = at === 0 ? this.#begin(nsp, from, number, total) : this.#coming.get(from);
    // Of one of which something is missing, by a row that was full, nothing more is wanted.
    if (coming?.number !== number || coming.total !== total || coming.taken !== at || at + bytes.length > total) return undefined;
    if (this.#comingBytes + bytes.length > WAITING_BYTES_MAX) {
      this.#forget(from);
      this.#warn(`more than ${WAITING_BYTES_MAX} bytes of such messages have come in part`);
      return undefined;
    }
    // Copied: the memory is used again.
    coming.pieces.push(Buffer.from(bytes));
    coming.taken += bytes.length;
    this.#comingBytes += bytes.length;
    coming.timer.refresh();
    const answer = Buffer.alloc(TAKEN_BYTES);
    answer.writeUInt8(TAKEN, 0);
    answer.writeUInt32LE(number, 1);
    answer.writeUInt32LE(coming.taken, 5);
    this.#send(nsp, from, answer);
    if (coming.taken < total) return undefined;
    this.#forget(from);
    return Buffer.concat(coming.pieces, total);
  }

  #begin(nsp: string, from: string, number: number, total: number): Coming | undefined {
    this.#forget(from);
    if (total > MESSAGE_BYTES_MAX) return undefined;
    const timer = setTimeout(() => this.#forget(from), PIECE_MS_MAX);
    timer.unref();
    const coming: Coming = { nsp, number, total, pieces: [], taken: 0, timer };
    this.#coming.set(from, coming);
    return coming;
  }

  #forget(from: string): void {
    const coming = this.#coming.get(from);
    clearTimeout(coming?.timer);
    this.#comingBytes -= coming?.taken ?? 0;
    this.#coming.delete(from);
  }

  /** Of a namespace these are the other workers. What is for one that is gone would wait for its time, and keep others from waiting. */
  setPeers(nsp: string, instances: readonly string[]): void {
    const there = new Set(instances);
    for (const [from, coming] of this.#coming) if (coming.nsp === nsp && !there.has(from)) this.#forget(from);
    for (const [to, row] of this.#going) {
      const [first] = row;
      const left = there.has(to) ? row : row.filter((going) => going.nsp !== nsp);
      if (left.length === row.length) continue;
      for (const { bytes, timer } of row.filter((going) => !left.includes(going))) {
        clearTimeout(timer);
        this.#goingBytes -= bytes.length;
      }
      if (left[0] === undefined) this.#going.delete(to);
      else this.#going.set(to, left);
      if (left[0] && left[0] !== first) this.#sendNext(left[0]);
    }
  }

  /** The session is gone: what was on the way will not come. */
  lose(): void {
    for (const row of this.#going.values()) for (const { timer } of row) clearTimeout(timer);
    this.#going.clear();
    this.#goingBytes = 0;
    for (const from of [...this.#coming.keys()]) this.#forget(from);
  }
}
