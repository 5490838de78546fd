/** As whom the user of a kubeconfig asks, beside `as`. */
export interface Impersonation {
  readonly as?: unknown;
  readonly 'as-uid'?: unknown;
  readonly 'as-groups'?: readonly unknown[] | null;
  readonly 'as-user-extra'?: Readonly<Record<string, readonly unknown[]>> | null;
}

export type ImpersonationHeaders = Readonly<Record<string, string | string[]>>;

/** What may not stand in the name of a header, and the sign that stands for it, byte by byte. */
const ESCAPED = /[^\w!#$&'*+.^`|~-]/g;

/**
 * What kubectl sends. The library sends the name alone, which is somebody with other groups, and so with other rights.
 * @throws TypeError where the values are not what a kubeconfig has
 */
export function impersonationHeaders(user: Impersonation): ImpersonationHeaders {
  const { as, 'as-uid': uid, 'as-groups': groups, 'as-user-extra': extra } = user;
  const headers: Record<string, string | string[]> = {};
  if (isGiven(as)) headers['Impersonate-User'] = inBytes(as);
  if (isGiven(uid)) headers['Impersonate-Uid'] = inBytes(uid);
  if (groups?.length) headers['Impersonate-Group'] = groups.map(inBytes);
  for (const [key, values] of Object.entries(extra ?? {})) {
    headers[`Impersonate-Extra-${inBytes(key).replaceAll(ESCAPED, escape)}`] = values.map(inBytes);
  }
  return headers;
}

function isGiven(value: unknown): boolean {
  return value !== undefined && value !== null && value !== '';
}

/** UTF-8, as the API server reads it: of a header's text Node.js sends each character as one byte. */
function inBytes(value: unknown): string {
  return Buffer.from(String(value)).toString('latin1');
}

function escape(byte: string): string {
  return `%${byte.charCodeAt(0).toString(16).toUpperCase().padStart(2, '0')}`;
}
