// Tests that wait for events: one that never comes fails its own test, by name, and not the whole file.

import { test as untimed } from "node:test";

const TEST_MS_MAX = 10_000;

export function test(name: string, run: () => void | Promise<void>): void {
  void untimed(name, { timeout: TEST_MS_MAX }, run);
}
