import { cp, mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { temporaryDirectory, type Cleanup } from '../../support/cleanup.ts';
import { CHART } from './helm.ts';

const NAME = 'lakebase-credential-sidecar';

/** As docs/helm.md shows it, around whatever pod is in the values. */
const POD = `
{{- $sidecar := set .Values.lakebase "chart" (index .Subcharts "NAMED") }}
apiVersion: v1
kind: Pod
metadata: { name: orders }
spec:
  {{- toYaml (omit .Values.pod "containers" "initContainers" "volumes") | nindent 2 }}
  initContainers:
    {{- include "${NAME}.container" $sidecar | nindent 4 }}
  containers:
    {{- range .Values.pod.containers }}
    - {{ toYaml (omit . "env" "volumeMounts") | indent 6 | trim }}
      env:
        {{- with .env }}{{ toYaml . | nindent 8 }}{{ end }}
        {{- include "${NAME}.env" $sidecar | nindent 8 }}
      volumeMounts:
        {{- include "${NAME}.mounts" $sidecar | nindent 8 }}
    {{- end }}
  volumes:
    {{- include "${NAME}.volumes" $sidecar | nindent 4 }}
`;

/** As much of the chart of Backstage as its documented values say: where they go, and that each is a template. */
const BACKSTAGE = `
{{- define "render" }}{{ tpl (toYaml (index . 0)) (index . 1) }}{{ end }}
{{- with .Values.backstage }}
apiVersion: v1
kind: Pod
metadata:
  name: backstage
  labels: {{- include "render" (list (.podLabels | default dict) $) | nindent 4 }}
  annotations: {{- include "render" (list (.podAnnotations | default dict) $) | nindent 4 }}
spec:
  serviceAccountName: {{ $.Values.serviceAccount.name }}
  securityContext: {{- include "render" (list .podSecurityContext $) | nindent 4 }}
  volumes: {{- include "render" (list (ternary (.extraVolumes | default list) list (not (empty .extraVolumeMounts))) $) | nindent 4 }}
  initContainers: {{- include "render" (list (.initContainers | default list) $) | nindent 4 }}
  containers:
    - name: backstage-backend
      image: registry.example.com/backstage:1.0.0
      securityContext: {{- include "render" (list .containerSecurityContext $) | nindent 8 }}
      env: {{- include "render" (list .extraEnvVars $) | nindent 8 }}
      volumeMounts: {{- include "render" (list (.extraVolumeMounts | default list) $) | nindent 8 }}
{{- end }}
`;

/** A chart that has this one as a dependency, perhaps under a name of its own, and places the sidecar itself. */
export async function umbrellaChart(t: Cleanup, alias = NAME): Promise<string> {
  const dependencies = [{ name: NAME, version: '>=0.0.0', repository: 'file://../any', alias }];
  const directory = await chart(t, 'umbrella', POD.replace('NAMED', alias), { dependencies });
  await cp(CHART, join(directory, 'charts', NAME), { recursive: true });
  return directory;
}

/** One that places nothing itself, and has a switch for its dependency. */
export async function switchingChart(t: Cleanup, alias: string): Promise<string> {
  const condition = `${alias}.enabled`;
  const dependencies = [{ name: NAME, version: '>=0.0.0', repository: 'file://../any', alias, condition }];
  const directory = await chart(t, 'switching', '', { dependencies });
  await cp(CHART, join(directory, 'charts', NAME), { recursive: true });
  return directory;
}

export async function backstageChart(t: Cleanup): Promise<string> {
  return await chart(t, 'backstage', BACKSTAGE);
}

async function chart(t: Cleanup, name: string, pod: string, more: object = {}): Promise<string> {
  const directory = join(await temporaryDirectory(t), name);
  await mkdir(join(directory, 'templates'), { recursive: true });
  await writeFile(join(directory, 'Chart.yaml'), JSON.stringify({ apiVersion: 'v2', name, version: '1.0.0', ...more }));
  await writeFile(join(directory, 'templates/pod.yaml'), pod);
  return directory;
}
