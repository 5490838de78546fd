/** What a file, or a key of a Secret, can hold. */
export const FORMATS = ['pgpass', 'token', 'json', 'env', 'uri'] as const;
export type Format = (typeof FORMATS)[number];

/** The formats from which the token of a Secret is read back: one of its keys must hold one of them. */
export const BEARING: readonly Format[] = ['token', 'json', 'pgpass'];
