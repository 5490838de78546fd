import { posix } from 'node:path';
import * as z from 'zod/mini';
import { CONTROLS } from './control.ts';
import { DURATION_PATTERN, parseDuration } from './duration.ts';

// The schemas of `zod/mini` are made in half the time and a third of the code; they are wrapped instead of chained.
// Compiling a validator pays only where it validates often; ours runs once per start and reload. Said here, because zod
// asks when a schema of a mapping is made.
z.config({ jitless: true });

const ADDRESS = /^([A-Za-z0-9]([A-Za-z0-9._-]{0,252}[A-Za-z0-9.])?|[0-9A-Fa-f:.]{2,45})$/;
const ADDRESS_OR_ANY = new RegExp(`${ADDRESS.source}|^\\*$`);
const POOLER = /-pooler(\.|$)/i;
const ABSOLUTE_PATH = /^\/.*[^/]$/;
/** A replacement is written beside the file, under a longer name. */
const MAX_BASENAME_BYTES = 200;

interface Wrong {
  readonly input?: unknown;
}

/**
 * Every message names what is allowed and never repeats the value: it may be a secret in the wrong place.
 * No check here aborts: that would keep the rules between options from being looked at (see schema.ts).
 */
export function allow(allowed: string) {
  return {
    error: ({ input }: Wrong) => `${input === undefined ? 'is missing: it must be' : 'must be'} ${allowed}`,
  };
}

export function described<T extends z.ZodMiniType>(schema: T, description: string): T {
  z.globalRegistry.add(schema, { description });
  return schema;
}

export function optional<T extends z.ZodMiniType>(schema: T, description: string) {
  return described(z.optional(schema), description);
}

/** @param byDefault as it would stand in the file. */
export function withDefault<T extends z.ZodMiniType>(schema: T, byDefault: z.input<T>, description: string) {
  return described(z.prefault(schema, byDefault), description);
}

/** Refuses unknown keys. */
export function object<T extends z.core.$ZodLooseShape>(shape: T) {
  const known = `allowed here: ${Object.keys(shape).join(', ')}`;
  return z.strictObject(shape, {
    error: (issue) =>
      issue.code === 'unrecognized_keys' ? `is not known; ${known}` : allow(`a mapping; ${known}`).error(issue),
  });
}

/**
 * Made with its checks: `check` would make each schema a second time, at each start. A check without a message of its own
 * has that of the schema.
 */
export function text(pattern: RegExp, allowed: string, ...more: readonly z.core.$ZodCheck<string>[]) {
  const unquoted = allow(`${allowed}; put it in quotes: without them, YAML does not read it as text`);
  // YAML reads 12 as a number and true as a truth: whoever has written that sees nothing wrong in it.
  const isUnquoted = (value: unknown): boolean =>
    (typeof value === 'number' || typeof value === 'boolean') && pattern.test(String(value));
  return new z.ZodMiniString({
    type: 'string',
    error: (issue: Wrong) => (isUnquoted(issue.input) ? unquoted : allow(allowed)).error(issue),
    checks: [z.regex(pattern), ...more],
  }) as z.ZodMiniString<string>;
}

/** Half a surrogate pair, which YAML and JSON can escape, cannot be written in UTF-8: the name in a file, or of one, would differ. */
export const wholeCharacters = z.refine<string>((value) => value.isWellFormed(), {
  error: 'must not contain an incomplete character: half a surrogate pair is escaped in it',
});

export function oneOf<const T extends readonly string[]>(values: T) {
  return z.enum(values, allow(`one of ${values.join(', ')}`));
}

export function number(from: number, to: number) {
  return within(from, to, `a number from ${from} to ${to}`, Number.isFinite);
}

export function integer(from: number, to: number) {
  return within(from, to, `a whole number from ${from} to ${to}`, Number.isInteger).register(z.globalRegistry, {
    type: 'integer',
  });
}

/** Not `z.int()`, which aborts on a fraction. */
function within(from: number, to: number, allowed: string, isAllowed: (value: number) => boolean) {
  const isWithin = (value: number): boolean => isAllowed(value) && value >= from && value <= to;
  const wrong = allow(allowed);
  const quoted = allow(`${allowed}; remove the quotes: with them, YAML reads it as text`);
  // As templates write numbers. Digits of the environment have become a number before (see layers.ts).
  const isQuoted = (value: unknown): boolean =>
    typeof value === 'string' && /^[0-9.]{1,5}$/.test(value) && isWithin(Number(value));
  return new z.ZodMiniNumber({
    type: 'number',
    error: (issue: Wrong) => (isQuoted(issue.input) ? quoted : wrong).error(issue),
    checks: [z.minimum(from), z.maximum(to), z.refine(isAllowed)],
  }) as z.ZodMiniNumber<number>;
}

/** A string in the file, milliseconds afterwards. */
export function durationWithin(from: string, to: string) {
  const allowed = `a duration from ${from} to ${to}: a whole number and one unit, such as ${from} or ${to}`;
  const isAllowed = (ms = -1): boolean => ms >= (parseDuration(from) ?? 0) && ms <= (parseDuration(to) ?? 0);
  return z.pipe(
    text(
      DURATION_PATTERN,
      allowed,
      z.refine((value) => isAllowed(parseDuration(value))),
    ),
    z.transform((value: string) => parseDuration(value) ?? 0),
  );
}

export function duration(from: string, to: string, byDefault: string, description: string) {
  return withDefault(durationWithin(from, to), byDefault, `${description} ${from} to ${to}.`);
}

const address = 'a host name or an IP address, without scheme, port and brackets';

/** Not by `net.isIP`, whose regular expression takes several milliseconds to compile. */
function isAddress(value: string): boolean {
  return !value.includes(':') || URL.canParse(`http://[${value}]`);
}

export const listenHost = text(ADDRESS, address, z.refine(isAddress));

export const connectionHost = text(
  ADDRESS_OR_ANY,
  `${address}, or "*"`,
  z.refine(isAddress),
  z.refine((value) => !POOLER.test(value), {
    error: "must be the endpoint's own host, without -pooler: Lakebase's pooler does not accept OAuth tokens",
  }),
);

const path = 'an absolute path without . and .. segments, double slashes, control characters and a slash at its end';

function isPlainPath(value: string): boolean {
  return posix.normalize(value) === value && !CONTROLS.test(value);
}

export const sinkPath = text(
  ABSOLUTE_PATH,
  path,
  z.refine(isPlainPath),
  wholeCharacters,
  z.refine((value) => Buffer.byteLength(posix.basename(value)) <= MAX_BASENAME_BYTES, {
    error: `must have a file name of at most ${MAX_BASENAME_BYTES} bytes`,
  }),
  z.refine((value) => !/^\..*\.tmp$/.test(posix.basename(value)), {
    error: 'must not begin with a dot and end in .tmp: such names are reserved for temporary files',
  }),
);
