import type { Secret } from './secret.ts';

/** A secret given by value, or in a file that is read at each mint so that a rotated one needs no restart. */
export type SecretSource = { readonly value: Secret } | { readonly file: string };

/** How the command proves to the workspace who it is. `/?o=` and a number follow a host that serves several workspaces. */
export type Auth =
  | { readonly kind: 'file-oidc'; readonly host: string; readonly clientId: string; readonly tokenFile: string }
  | { readonly kind: 'oauth-m2m'; readonly host: string; readonly clientId: string; readonly secret: SecretSource }
  | {
      readonly kind: 'profile';
      readonly host: string | undefined;
      /** Where there is no host for it to follow. */
      readonly workspaceId: string | undefined;
      readonly configFile: string;
      readonly profile: string;
    }
  | { readonly kind: 'pat'; readonly host: string; readonly token: Secret };
