/** As one word of a shell script: a checkout may lie in a folder with any name. */
export function shellWord(text: string): string {
  return `'${text.replaceAll("'", String.raw`'\''`)}'`;
}
