export type Place =
  | { readonly kind: 'file'; readonly path: string }
  | { readonly kind: 'secret'; readonly namespace: string; readonly name: string };

/** What logs, metrics and probes call a sink. */
export function labelOf(place: Place): string {
  return place.kind === 'file' ? `file:${place.path}` : `secret:${place.namespace}/${place.name}`;
}
