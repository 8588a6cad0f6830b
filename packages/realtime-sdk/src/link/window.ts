// Counted frames of a link, one direction each: what was sent and may have to be sent again, and what was dealt with and
// has to be said (docs/link.md "Credit").
//
// Deliberately absent: what the frames mean and how bytes move.

import { LinkError } from "./errors.js";

/** What may be on the way. */
export interface WindowSize {
  readonly frames: number;
  readonly bytes: number;
}

/** The window of docs/link.md, until WELCOME says another. */
export const WINDOW_DEFAULT: WindowSize = { frames: 8192, bytes: 4 << 20 };

/** How many counted frames, and their bytes with headers, since the epoch began for this worker. */
export interface Sum {
  readonly frames: number;
  readonly bytes: number;
}

/** Whether a frame of `bytes` may follow what is on the way. One that is larger than the window goes when nothing else is. */
function hasRoom(onWayFrames: number, onWayBytes: number, window: WindowSize, bytes: number): boolean {
  return onWayFrames < window.frames && (onWayFrames === 0 || onWayBytes + bytes <= window.bytes);
}

/** The sender's side. Frames wait here while the window is full, and are kept until the peer has dealt with them. */
export class Outgoing {
  #window: WindowSize;
  /** Kept frames from `#head` on, the oldest first; those before it are gone. */
  #frames: (Buffer | undefined)[] = [];
  #head = 0;
  /** The first of `#frames` that the link which is now was not handed. */
  #next = 0;
  #done: Sum = { frames: 0, bytes: 0 };
  /** What the present link, or one before it, was handed. */
  #sent: Sum = { frames: 0, bytes: 0 };
  #bytes = 0;

  constructor(window: WindowSize = WINDOW_DEFAULT) {
    this.#window = window;
  }

  /** Bytes of frames that are kept: on the way, or waiting for the window. */
  get keptBytes(): number {
    return this.#bytes;
  }

  /** Whether frames wait that no link was handed. */
  get waits(): boolean {
    return this.#next < this.#frames.length;
  }

  /** Frames that the peer has dealt with, since the epoch began for this worker. */
  get dealtFrames(): number {
    return this.#done.frames;
  }

  /** The same with those that the link which is now was handed. */
  get handedFrames(): number {
    return this.#done.frames + this.#next - this.#head;
  }

  /** The same with those that are kept. */
  get allFrames(): number {
    return this.#done.frames + this.#frames.length - this.#head;
  }

  /** What WELCOME says. */
  set window(window: WindowSize) {
    this.#window = window;
  }

  /** Frames that are kept: those that a link was handed, and those that none was. */
  kept(): { onWay: Buffer[]; unsent: Buffer[] } {
    const isFrame = (frame: Buffer | undefined): frame is Buffer => frame !== undefined;
    // After a cut some of those that wait have been on a link before.
    const sent = this.#head + this.#sent.frames - this.#done.frames;
    return { onWay: this.#frames.slice(this.#head, sent).filter(isFrame), unsent: this.#frames.slice(sent).filter(isFrame) };
  }

  push(frame: Buffer): void {
    this.#frames.push(frame);
    this.#bytes += frame.length;
  }

  /** The next frame that may go now; it counts as handed to the link. */
  next(): Buffer | undefined {
    const frame = this.#frames[this.#next];
    if (frame === undefined) return undefined;
    // A frame that goes again was within the window before the cut, and is now.
    const isNew = this.handedFrames === this.#sent.frames;
    const { frames, bytes } = this.#sent;
    if (isNew && !hasRoom(frames - this.#done.frames, bytes - this.#done.bytes, this.#window, frame.length)) return undefined;
    this.#next += 1;
    if (isNew) this.#sent = { frames: this.#sent.frames + 1, bytes: this.#sent.bytes + frame.length };
    return frame;
  }

  /** The peer has dealt with so much. Throws `window` when it says what cannot be. */
  credit(done: Sum): void {
    const count = done.frames - this.#done.frames;
    if (!(count >= 0 && done.frames <= this.handedFrames)) throw falseCredit(done);
    let bytes = 0;
    for (let at = this.#head; at < this.#head + count; at += 1) bytes += this.#frames[at]?.length ?? 0;
    if (done.bytes !== this.#done.bytes + bytes) throw falseCredit(done);
    this.#drop(count, bytes);
  }

  /** A new link of the same worker, whose peer has dealt with so many frames: the rest goes again. */
  resume(received: number): void {
    const count = received - this.#done.frames;
    if (!(count >= 0 && received <= this.#sent.frames)) throw falseCredit({ frames: received, bytes: 0 });
    let bytes = 0;
    for (let at = this.#head; at < this.#head + count; at += 1) bytes += this.#frames[at]?.length ?? 0;
    this.#drop(count, bytes);
    this.#next = this.#head;
  }

  /** Forgets all that is kept and begins to count anew. */
  reset(): void {
    this.#frames = [];
    this.#head = this.#next = this.#bytes = 0;
    this.#done = this.#sent = { frames: 0, bytes: 0 };
  }

  #drop(count: number, bytes: number): void {
    this.#frames.fill(undefined, this.#head, this.#head + count);
    this.#head += count;
    this.#next = Math.max(this.#next, this.#head);
    this.#bytes -= bytes;
    this.#done = { frames: this.#done.frames + count, bytes: this.#done.bytes + bytes };
    this.#compact();
  }

  /** What is gone moves out when it is the larger part: each frame moves less than once for each that was sent. */
  #compact(): void {
    if (this.#head === 0 || this.#head * 2 < this.#frames.length) return;
    this.#frames.splice(0, this.#head);
    this.#next -= this.#head;
    this.#head = 0;
  }
}

function falseCredit(done: Sum): LinkError {
  return new LinkError("window", `credit for ${done.frames} frames, ${done.bytes} bytes`);
}

/** What was dealt with when so many frames had been said, some of which may not have gone yet. */
interface Mark {
  readonly behind: number;
  frames: number;
  bytes: number;
}

/**
 * The receiver's side. It counts each frame, so that it does with numbers.
 *
 * Credit for a frame must not overtake the answer to it: of a process that is killed in between the peer would believe that it has answered.
 */
export class Incoming {
  #window: WindowSize;
  #receivedFrames = 0;
  #receivedBytes = 0;
  #dealtFrames = 0;
  #dealtBytes = 0;
  /** What was dealt with and is not to be told yet, the oldest first: one for each turn of the event loop, and no more than frames in the window. */
  #marks: Mark[] = [];
  /** What may be told of that. */
  #freeFrames = 0;
  #freeBytes = 0;
  #toldFrames = 0;
  #toldBytes = 0;

  constructor(window: WindowSize = WINDOW_DEFAULT) {
    this.#window = window;
  }

  /** What WELCOME says. */
  set window(window: WindowSize) {
    this.#window = window;
  }

  /** A counted frame came. Throws `window` when the peer must not have sent it yet. */
  receive(bytes: number): void {
    const frames = this.#receivedFrames - this.#toldFrames;
    if (!hasRoom(frames, this.#receivedBytes - this.#toldBytes, this.#window, bytes)) {
      throw new LinkError("window", `frame ${this.#receivedFrames} is more than may be on the way`);
    }
    this.#receivedFrames += 1;
    this.#receivedBytes += bytes;
  }

  /** The oldest frame that was not dealt with is dealt with, or the oldest so many; what was said about them is within the first `behind` frames of the other direction. */
  deal(bytes: number, frames = 1, behind = 0): void {
    if (frames === 0) return;
    this.#dealtFrames += frames;
    this.#dealtBytes += bytes;
    if (this.#dealtFrames > this.#receivedFrames) throw new Error("a frame was dealt with twice");
    const last = this.#marks.at(-1);
    if (last?.behind !== behind) this.#marks.push({ behind, frames: this.#dealtFrames, bytes: this.#dealtBytes });
    else [last.frames, last.bytes] = [this.#dealtFrames, this.#dealtBytes];
  }

  /** Whether anything is to be said in CREDIT. */
  get owes(): boolean {
    return this.#dealtFrames !== this.#toldFrames;
  }

  /** What to say in CREDIT behind so many frames of the other direction, if it is worth a frame: a quarter of the window or, when it is time for it, anything. */
  credit(isTime: boolean, behind = Infinity): Sum | undefined {
    this.#free(behind);
    const frames = this.#freeFrames - this.#toldFrames;
    if (frames === 0) return undefined;
    const isMuch = frames >= this.#window.frames / 4 || this.#freeBytes - this.#toldBytes >= this.#window.bytes / 4;
    if (!(isTime || isMuch)) return undefined;
    this.#toldFrames = this.#freeFrames;
    this.#toldBytes = this.#freeBytes;
    return { frames: this.#toldFrames, bytes: this.#toldBytes };
  }

  #free(behind: number): void {
    let count = 0;
    for (let mark = this.#marks[0]; mark && mark.behind <= behind; mark = this.#marks[count]) {
      [this.#freeFrames, this.#freeBytes] = [mark.frames, mark.bytes];
      count += 1;
    }
    if (count > 0) this.#marks.splice(0, count);
  }

  /** The link is gone: what was received and not dealt with will come again. Says how many frames were dealt with. */
  resume(): number {
    this.#free(Infinity);
    this.#receivedFrames = this.#toldFrames = this.#dealtFrames;
    this.#receivedBytes = this.#toldBytes = this.#dealtBytes;
    return this.#dealtFrames;
  }

  /** Begins to count anew. */
  reset(): void {
    this.#marks = [];
    this.#receivedFrames = this.#dealtFrames = this.#freeFrames = this.#toldFrames = 0;
    this.#receivedBytes = this.#dealtBytes = this.#freeBytes = this.#toldBytes = 0;
  }
}
