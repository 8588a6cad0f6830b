// Which of a client's events wait for their acknowledgement: a client goes to another worker when none does.
//
// Only the beginning of a packet is looked at; what is none counts for nothing.

/** Events that are remembered of a client. One that asks for more without being answered is not waited for. */
const OPEN_MAX = 1_024;

/** The namespace and id of an event that wants an acknowledgement, or of one: `2`, `3`, `5N-` or `6N-`, perhaps `/nsp,`, digits. */
export function ackOf(packet: string, text: "2" | "3", binary: "5" | "6"): string | undefined {
  let at = 1;
  if (packet[0] === binary) at = packet.indexOf("-") + 1;
  else if (packet[0] !== text) return undefined;
  const start = at;
  if (packet[at] === "/") at = packet.indexOf(",", at) + 1;
  if (at === 0) return undefined;
  const digits = at;
  while (isDigit(packet.charCodeAt(at))) at += 1;
  return at === digits ? undefined : packet.slice(start, at);
}

function isDigit(code: number): boolean {
  return code >= 48 && code <= 57;
}

/** The open events of one client. Mostly there is one, or none: a Set for each client would be larger than all that is kept here. */
export class Answers {
  #first: string | undefined;
  #others: Set<string> | undefined;

  get size(): number {
    return (this.#first === undefined ? 0 : 1) + (this.#others?.size ?? 0);
  }

  /** The client said this. */
  asked(packet: string): void {
    const ack = ackOf(packet, "2", "5");
    if (ack === undefined || this.size >= OPEN_MAX || ack === this.#first) return;
    if (this.#first === undefined && this.#others === undefined) this.#first = ack;
    else (this.#others ??= new Set()).add(ack);
  }

  /** It was told this. */
  answered(packet: string): void {
    if (this.#first === undefined && this.#others === undefined) return;
    const ack = ackOf(packet, "3", "6");
    if (ack === undefined) return;
    if (ack === this.#first) this.#first = undefined;
    else if (this.#others?.delete(ack) === true && this.#others.size === 0) this.#others = undefined;
  }
}
