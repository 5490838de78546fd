import type { Secret } from './secret.ts';

/** A secret given by value, or in a file that is read at each mint so that a rotated one needs no restart. */
export type SecretSource = { readonly value: Secret } | { readonly file: string };

export interface Workspace {
  /** Its origin. */
  readonly host: string;
  /** Which one, where several share the host. */
  readonly workspaceId?: string | undefined;
}

/** How the command proves to the workspace who it is. */
export type Auth =
  | (Workspace & { readonly kind: 'file-oidc'; readonly clientId: string; readonly tokenFile: string })
  | (Workspace & { readonly kind: 'oauth-m2m'; readonly clientId: string; readonly secret: SecretSource })
  | (Pick<Workspace, 'workspaceId'> & {
      readonly kind: 'profile';
      /** Undefined where the profile's own counts. */
      readonly host: string | undefined;
      readonly configFile: string;
      readonly profile: string;
    })
  | (Workspace & { readonly kind: 'pat'; readonly token: Secret });
