/**
 * Control characters, for a class in a regular expression. `\p{Cc}` says the same, but to know what it means V8 loads
 * ICU's data about Unicode: 0.6 MB of memory and, at each start, a millisecond.
 */
export const CONTROL = String.raw`\x00-\x1f\x7f-\x9f`;

export const CONTROLS = new RegExp(`[${CONTROL}]`);
