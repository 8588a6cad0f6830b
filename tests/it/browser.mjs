// The headless Chromium of this machine, which looks for nothing in the network.
import { chromium } from "playwright-core";

export const launch = () => chromium.launch({
  executablePath: process.env.RINGWAY_TEST_CHROMIUM ?? "/usr/bin/chromium",
  args: ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"],
});
