import { redact, SECRET_SHAPES } from '../credential/redact.ts';
import { oneLine } from '../credential/display.ts';
import type { Secret } from '../credential/secret.ts';

const REDACTED = '[secret]';
/** Enough for the refusal of an OIDC token, which ends with what a federation policy for it would say; nobody needs more. */
const MAX_LENGTH = 800;

/** The last of the shapes, also with `=` inside. Looked for afterwards, in what is left, so that `NAME=` before a secret stays. */
const LONG = /(?<![\w+=-])(?=[\w+=-]*[a-z])(?=[\w+=-]*[A-Z])(?=[\w+=-]*\d)[\w+=-]{32,}/g;

/** The command's words, fit for a log: without secrets, by shape and by value, on one line, and short. */
export function scrub(text: string, secrets: readonly Secret[]): string {
  const [words = ''] = text.trim().split(/\n\s*\n|Request log:/);
  const values = secrets.map((secret) => secret.reveal());
  const clean = redact(words, { values, shapes: SECRET_SHAPES }, REDACTED).replaceAll(LONG, REDACTED);
  const line = oneLine(clean);
  return line.length > MAX_LENGTH ? `${line.slice(0, MAX_LENGTH)}…` : line;
}
