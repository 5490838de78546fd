import type { TestApiServer } from '../test/cluster/secrets/api-server.ts';

export async function kubernetesVersion(api: TestApiServer): Promise<string> {
  const { serverVersion } = JSON.parse(await api.kubectl(['version', '--output=json'])) as {
    serverVersion: { gitVersion: string };
  };
  return `Kubernetes ${serverVersion.gitVersion.replace(/^v/, '')}`;
}
