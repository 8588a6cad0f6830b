// The demo page in headless Chromium: two windows chat.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { after, before, test } from "node:test";
import { launch } from "./browser.mjs";
import { serveDev } from "./daemon.mjs";

let daemon, browser;
before(async () => {
  daemon = await serveDev("--shards", "2");
  browser = await launch();
});
after(async () => { await browser?.close(); await daemon?.stop(); });

test("the page's client is npm's", { timeout: 30_000 }, async () => {
  const published = readFileSync(new URL("node_modules/socket.io-client/dist/socket.io.min.js", import.meta.url), "utf8");
  assert.equal(await (await fetch(`${daemon.url}/socket.io/socket.io.js`)).text(), published);
});

test("two windows chat through the daemon", { timeout: 60_000 }, async () => {
  const [anna, bert] = [await browser.newPage(), await browser.newPage()];
  await anna.goto(`${daemon.url}/?name=Anna&room=lobby`);
  await bert.goto(`${daemon.url}/?name=Bert&room=lobby`);
  for (const page of [anna, bert]) await page.getByText("Joined lobby").waitFor();
  await anna.fill("#text", "Hello Bert");
  await anna.click("text=Send");
  const line = bert.locator("#log li", { hasText: "Hello Bert" });
  await line.waitFor();
  assert.match(await line.innerText(), /#\d+\s+Anna\s+Hello Bert/);
  await bert.locator("#transport", { hasText: "websocket" }).waitFor();
  assert.match(await bert.locator("#shard").innerText(), /^\d+ of 2$/);
  await bert.locator("#rtt", { hasText: /\d ms/ }).waitFor();
  if (process.env.RINGWAY_TEST_SCREENSHOT) await bert.screenshot({ path: process.env.RINGWAY_TEST_SCREENSHOT });
});
