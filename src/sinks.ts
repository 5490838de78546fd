import { dirname } from 'node:path';
import type { Config, CredentialConfig } from './config/load.ts';
import type { Identity, Observer, Sink } from './credential/ports.ts';
import { bootId } from './platform/boot.ts';
import { systemClock as clock } from './platform/clock.ts';
import { provideThreads } from './platform/threads.ts';
import { watchFile } from './platform/watch-file.ts';
import { FileSink } from './sinks/file.ts';
import { StateFile } from './sinks/state-file.ts';

export interface SinkBuilder {
  readonly sinks: (credential: CredentialConfig, identity: Identity) => Sink[];
  /** Passes everything on, and also tells the cluster what becomes of its Secrets. */
  readonly observer: (credential: CredentialConfig, observer: Observer) => Observer;
}

/** What Secret sinks need is loaded only if there are any: a sidecar that writes files has no use for it. */
export async function sinkBuilder({ credentials, kubeconfig }: Config): Promise<SinkBuilder> {
  const configured = credentials.flatMap(({ sinks }) => sinks);
  provideThreads(configured.filter(({ kind }) => kind === 'file').length);
  const boot = bootId();
  const files: SinkBuilder['sinks'] = (credential, identity) => fileSinks(credential, identity, boot);
  const hasSecrets = configured.some(({ kind }) => kind === 'secret');
  if (!hasSecrets) return { sinks: files, observer: (_, observer) => observer };
  const { secretSinks } = await import('./kubernetes.ts');
  const secrets = secretSinks(kubeconfig);
  return {
    sinks: (credential, identity) => [...files(credential, identity), ...secrets.sinks(credential, identity)],
    observer: secrets.observer,
  };
}

/** Files of one directory share its record of what they hold. */
function fileSinks(
  { name, connection, sinks }: CredentialConfig,
  identity: Identity,
  boot: string | undefined,
): Sink[] {
  const states = new Map<string, StateFile>();
  return sinks
    .filter((sink) => sink.kind === 'file')
    .map(({ path, format, mode }) => {
      const directory = dirname(path);
      const state = states.get(directory) ?? new StateFile({ directory, name, identity, boot });
      states.set(directory, state);
      return new FileSink({ path, format, mode, connection, state, clock, watch: watchFile });
    });
}
