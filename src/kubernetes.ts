import type { CredentialConfig, SecretSinkConfig } from './config/load.ts';
import type { Clock, Identity, Observer, Sink } from './credential/ports.ts';
import { ApiServer } from './kubernetes/api-server.ts';
import { createEvents } from './kubernetes/events.ts';
import { SecretSink } from './sinks/secret.ts';
import { version } from './version.ts';

/** Everything that speaks to the API server, behind one import. */
export function secretSinks(kubeconfig: string | undefined, clock: Clock) {
  const api = new ApiServer(kubeconfig, `lakebase-credential-sidecar/${version}`);
  return {
    build: (sink: SecretSinkConfig, { name, connection }: CredentialConfig, identity: Identity): Sink =>
      new SecretSink({ ...sink, api, clock, connection, identity, credentialName: name }),
    observe: ({ name, sinks }: CredentialConfig, observer: Observer): Observer => {
      const secrets = sinks.filter((sink) => sink.kind === 'secret');
      return secrets.length === 0 ? observer : createEvents({ api, clock, credential: name, secrets, observer });
    },
  };
}
