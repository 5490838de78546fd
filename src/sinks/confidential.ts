import { type SecretObject, type SecretSpec, tokensIn } from './secret-object.ts';

/** Nobody's token is shorter, and words of an error are: what somebody has put there by hand must not make it unreadable. */
const LEAST_LENGTH = 32;
/** Of a longer value only the beginning is looked for, so that no value, however large, takes long. A token has 2 KB. */
const MOST_LENGTH = 16 * 1024;

/** What stands under our keys, as it stands there, and the tokens in it: a webhook may tell of what was there before, too. */
export function confidentialIn(object: SecretObject | undefined, spec: SecretSpec): string[] {
  if (object === undefined) return [];
  const { data = {} } = object;
  const values = Object.keys(spec.data).map((key) => (Object.hasOwn(data, key) ? data[key] : undefined));
  return [...values, ...tokensIn(object, spec)]
    .filter((one): one is string => one !== undefined && one.length >= LEAST_LENGTH)
    .map((one) => one.slice(0, MOST_LENGTH));
}
