// The metrics page, read as an operator's scraper reads it.

/** Families by name (help, type) and all samples (name, labels, value) of a page. */
export function parse(page) {
  const [families, samples] = [new Map(), []];
  for (const line of page.split("\n").filter((text) => text !== "")) {
    const [, kind, name, rest] = /^# (HELP|TYPE) (\S+) (.*)$/.exec(line) ?? [];
    if (kind) {
      families.set(name, { ...families.get(name), [kind.toLowerCase()]: rest });
      continue;
    }
    const [, sample, labels, value] = /^(\w+)(?:\{(.*)\})? (\S+)$/.exec(line) ?? [];
    if (!sample) throw new Error(`no metric: ${line}`);
    samples.push({ name: sample, labels: Object.fromEntries([...(labels ?? "").matchAll(/(\w+)="([^"]*)"/g)].map(([, key, text]) => [key, text])), value: Number(value) });
  }
  return { families, samples };
}

/** The page as it is now. */
export const scrape = async (daemon) => parse(await (await fetch(`${daemon.admin}/metrics`)).text());

/** One metric, summed over its shards and other labels. */
export async function total(daemon, name, labels = {}) {
  const fits = (sample) => sample.name === name && Object.entries(labels).every(([key, text]) => sample.labels[key] === text);
  return (await scrape(daemon)).samples.filter(fits).reduce((sum, sample) => sum + sample.value, 0);
}

/** How often each code was told, without those that never were. */
export async function refusals(daemon) {
  const counts = {};
  for (const { name, labels, value } of (await scrape(daemon)).samples) {
    if (name === "ringway_refusals_total" && value > 0) counts[labels.code] = (counts[labels.code] ?? 0) + value;
  }
  return counts;
}

/** What was told between two counts. */
export const since = (before, after) => Object.fromEntries(
  Object.entries(after).map(([code, count]) => [code, count - (before[code] ?? 0)]).filter(([, count]) => count > 0),
);
