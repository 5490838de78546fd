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
    encodings(secret).map((text) => ({ name, windows: windowsOf(text) })),
  );
  const leaks = Object.entries(places).flatMap(([place, text]) =>
    marks
      .filter(({ windows }) => windows.some((window) => text.includes(window)))
      .map(({ name }) => `${name} in ${place}`),
  );
  return [...new Set(leaks)];
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
