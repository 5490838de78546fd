/** So much of a secret in a row is no coincidence, and more than a hash shows of it. */
const WINDOW = 20;
const STEP = 4;

/** Texts by the name of the place where they were found. */
export type Places = Readonly<Record<string, string>>;

/**
 * Where any of these secrets shows, as it is or in part, in base64, hexadecimal or percent-encoding: `secret in place`.
 * Nothing of what was found is in the answer.
 */
export function findLeaks(secrets: Places, places: Places): string[] {
  const marks = Object.entries(secrets).flatMap(([name, secret]) =>
    encodings(secret).flatMap((text) => windowsOf(text).map((window) => [window, name] as const)),
  );
  const long = new Map(marks.filter(([window]) => window.length === WINDOW));
  const short = marks.filter(([window]) => window.length < WINDOW);
  const leaks = Object.entries(places).flatMap(([place, text]) =>
    [...namesIn(text, long), ...short.flatMap(([window, name]) => (text.includes(window) ? [name] : []))].map(
      (name) => `${name} in ${place}`,
    ),
  );
  return [...new Set(leaks)];
}

/** One pass over the text, however many secrets there are. */
function namesIn(text: string, windows: ReadonlyMap<string, string>): Set<string> {
  const names = new Set<string>();
  for (let at = 0; at + WINDOW <= text.length; at += 1) {
    const name = windows.get(text.slice(at, at + WINDOW));
    if (name !== undefined) names.add(name);
  }
  return names;
}

function encodings(secret: string): string[] {
  const bytes = Buffer.from(secret);
  // A secret in the middle of a longer text begins at any of three places within a group of base64.
  const base64 = [0, 1, 2].map((skip) => bytes.subarray(skip).toString('base64url').slice(0, -3));
  return [secret, encodeURIComponent(secret), bytes.toString('hex'), ...base64, ...base64.map(toPlainBase64)];
}

function toPlainBase64(base64url: string): string {
  return base64url.replaceAll('-', '+').replaceAll('_', '/');
}

function windowsOf(text: string): string[] {
  if (text.length <= WINDOW) return [text];
  const count = Math.floor((text.length - WINDOW) / STEP) + 1;
  return Array.from({ length: count }, (_, i) => text.slice(i * STEP, i * STEP + WINDOW));
}
