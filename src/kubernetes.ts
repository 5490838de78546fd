import type { CredentialConfig } from './config/load.ts';
import type { Identity, Observer, Sink } from './credential/ports.ts';
import { ApiServer } from './kubernetes/api-server.ts';
import { createEvents } from './kubernetes/events.ts';
import { systemClock as clock } from './platform/clock.ts';
import { SecretSink } from './sinks/secret.ts';
import { version } from './version.ts';

/** Everything that speaks to the API server, behind one import. */
export function secretSinks(kubeconfig: string | undefined) {
  const api = new ApiServer(kubeconfig, `lakebase-credential-sidecar/${version}`);
  return {
    sinks: ({ name: credentialName, connection, sinks }: CredentialConfig, identity: Identity): Sink[] =>
      secretsIn(sinks).map((sink) => new SecretSink({ ...sink, api, clock, connection, identity, credentialName })),
    observer: ({ name: credential, sinks }: CredentialConfig, observer: Observer): Observer => {
      const secrets = secretsIn(sinks);
      return secrets.length === 0 ? observer : createEvents({ api, clock, credential, secrets, observer });
    },
  };
}

function secretsIn(sinks: CredentialConfig['sinks']) {
  return sinks.filter((sink) => sink.kind === 'secret');
}
