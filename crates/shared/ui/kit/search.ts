/** Search texts: words, `"phrases"`, `prefix*`, `-not`, `OR`. The service searches, this reads what to mark. */

/** What of a search text can be seen in a hit: its words and phrases without operators and exclusions. */
export function searchTerms(text: string): { term: string; prefix: boolean }[] {
  const terms: { term: string; prefix: boolean }[] = [];
  for (const found of text.matchAll(/(-?)(?:"([^"]*)"?|([^\s"]+))/g)) {
    const [, minus, phrase, bare] = found;
    if (minus || bare?.startsWith("-")) continue;
    if (phrase !== undefined) {
      if (phrase.trim()) terms.push({ term: phrase.trim(), prefix: false });
      continue;
    }
    const word = (bare ?? "").replace(/^\(+|\)+$/g, "");
    if (!word || /^(OR|AND|NOT)$/.test(word)) continue;
    // The name in front of a quoted value, which is a term of its own.
    if (/^[a-z_@][\w@.-]*:$/i.test(word) && text[found.index + found[0].length] === '"') continue;
    const value = /^[a-z_@][\w@.-]*:(?!\/)(.+)$/i.exec(word)?.[1] ?? word;
    const prefix = value.endsWith("*");
    const term = prefix ? value.slice(0, -1) : value;
    if (term) terms.push({ term, prefix });
  }
  return terms;
}

/** A pattern that finds every term of a search text, in any case; null when there is none. */
export function searchPattern(text: string): RegExp | null {
  const sources = searchTerms(text).map(({ term, prefix }) => {
    // Between the words of a phrase any run of separators may stand, as in a full-text index.
    const words = term.split(/\s+/).map((word) => word.replace(/[.*+?^${}()|[\]\\]/g, "\\$&"));
    return words.join("\\s+") + (prefix ? "[\\p{L}\\p{N}_]*" : "");
  });
  if (sources.length === 0) return null;
  sources.sort((left, right) => right.length - left.length);
  return new RegExp(sources.join("|"), "giu");
}
