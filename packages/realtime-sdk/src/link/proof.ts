// Who knows the secret: the proofs of docs/link.md "Handshake".

import { createHmac, randomBytes, timingSafeEqual } from "node:crypto";

/** Whose proof it is. The labels differ, so that neither can send the other's proof back. */
export type Prover = "worker" | "daemon";

/** Fewer bytes are guessed; the daemon refuses them too. */
export const SECRET_BYTES_MIN = 16;

/** The proof over the JSON of the bodies so far, the prover's own included. */
export function prove(secret: Uint8Array, prover: Prover, bodies: readonly string[]): string {
  const hmac = createHmac("sha256", secret).update(`rwlink/1 ${prover}`);
  for (const body of bodies) {
    const bytes = Buffer.from(body);
    const length = Buffer.alloc(4);
    length.writeUInt32LE(bytes.length);
    hmac.update(length).update(bytes);
  }
  return hmac.digest("hex");
}

/** Whether `proof` is {@link prove}'s. Takes the same time wherever a wrong one differs. */
export function isProof(secret: Uint8Array, prover: Prover, bodies: readonly string[], proof: string): boolean {
  const expected = Buffer.from(prove(secret, prover, bodies), "latin1");
  const given = Buffer.from(proof.toLowerCase(), "utf8");
  return given.length === expected.length && timingSafeEqual(given, expected);
}

/** What makes a proof serve once: 128 random bits. */
export function nonce(): string {
  return randomBytes(16).toString("hex");
}
