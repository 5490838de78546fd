/** Number by number. `localeCompare` can do it too, with ICU's rules of collation, which are 2 MB of memory. */
export function isOlder(version: string, than: string): boolean {
  const [ours = [], theirs = []] = [version, than].map((numbers) => numbers.split('.').map(Number));
  const index = theirs.findIndex((number, place) => number !== ours[place]);
  return index !== -1 && ours[index]! < theirs[index]!;
}
