// Texts that most clients bring alike: the address they ask for, the names of their browsers. Each is kept once.

/** Longer ones are hardly ever the same. */
const TEXT_LENGTH_MAX = 256;
const TEXTS_MAX = 1_024;

const texts = new Map<string, string>();

/** The same text, as it was kept before if it was. */
export function intern(text: string): string {
  if (text.length > TEXT_LENGTH_MAX) return text;
  const known = texts.get(text);
  if (known !== undefined) return known;
  // Whatever is common is soon there again.
  if (texts.size >= TEXTS_MAX) texts.clear();
  texts.set(text, text);
  return text;
}
