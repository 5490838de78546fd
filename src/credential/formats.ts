/** What a file, or a key of a Secret, can hold. */
export const FORMATS = ['pgpass', 'token', 'json', 'env', 'uri'] as const;
export type Format = (typeof FORMATS)[number];

/** In which the token of a Secret is found again: one key must hold one of them. */
export const BEARING: readonly Format[] = ['token', 'json', 'pgpass'];
