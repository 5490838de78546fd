{{/* One entry of `initContainers`, before all others. It runs as the pod's user, unless run-as-user names one. */}}
{{- define "lakebase-credential-sidecar.container" -}}
{{- $settings := include "lakebase.library.settings" . | fromJson -}}
{{- with $settings -}}
- name: lakebase-credential
  image: {{ include "lakebase.image" $.chart }}
  imagePullPolicy: {{ $.chart.Values.image.pullPolicy }}
  restartPolicy: Always
  env:
    - { name: DATABRICKS_HOST, value: {{ index . "workspace-host" | quote }} }
    - { name: DATABRICKS_CLIENT_ID, value: {{ index . "client-id" | quote }} }
    {{- if index . "client-secret-name" }}
    - { name: DATABRICKS_CLIENT_SECRET_FILE, value: /var/run/secrets/databricks/client-secret }
    {{- else }}
    - { name: DATABRICKS_OIDC_TOKEN_FILEPATH, value: /var/run/secrets/databricks/token }
    {{- end }}
    - { name: LAKEBASE_CREDENTIAL_DIR, value: {{ .directory | quote }} }
    - { name: LAKEBASE_CREDENTIAL_FILES, value: {{ .files | quote }} }
    - { name: LAKEBASE_CREDENTIAL_HTTP_PORT, value: '9467' }
    {{- with .endpoint }}
    - { name: LAKEBASE_ENDPOINT, value: {{ . | quote }} }
    {{- end }}
    {{- with .instance }}
    - { name: LAKEBASE_INSTANCE, value: {{ . | quote }} }
    {{- end }}
    {{- with .ttl }}
    - { name: LAKEBASE_TTL, value: {{ . | quote }} }
    {{- end }}
    {{- with index . "pg-host" }}
    - { name: PGHOST, value: {{ . | quote }} }
    {{- end }}
    {{- with index . "pg-database" }}
    - { name: PGDATABASE, value: {{ . | quote }} }
    {{- end }}
    {{- with index . "pg-user" }}
    - { name: PGUSER, value: {{ . | quote }} }
    {{- end }}
    {{- with include "lakebase.environment" $.chart }}
    {{- . | nindent 4 }}
    {{- end }}
  ports:
    - { name: lakebase-http, containerPort: 9467 }
  startupProbe:
    httpGet: { path: '/readyz?sinks=file', port: lakebase-http }
    periodSeconds: 1
    timeoutSeconds: 3
    failureThreshold: 600
  livenessProbe:
    httpGet: { path: /healthz, port: lakebase-http }
    periodSeconds: 10
    timeoutSeconds: 3
  resources:
    requests: { cpu: {{ index . "cpu-request" | quote }}, memory: {{ index . "memory-request" | quote }} }
    limits: { {{- with index . "cpu-limit" }}cpu: {{ . | quote }}, {{ end }}memory: {{ index . "memory-limit" | quote }} }
  securityContext:
    allowPrivilegeEscalation: false
    capabilities: { drop: [ALL] }
    readOnlyRootFilesystem: true
    runAsNonRoot: true
    {{- with index . "run-as-user" }}
    runAsUser: {{ . }}
    {{- end }}
    seccompProfile: { type: RuntimeDefault }
  volumeMounts:
    - { name: lakebase-tmp, mountPath: /tmp }
    - { name: lakebase-identity, mountPath: /var/run/secrets/databricks, readOnly: true }
    - { name: lakebase-credential, mountPath: {{ .directory | quote }} }
{{- end -}}
{{- end -}}

{{/* Entries of the pod's `volumes`. */}}
{{- define "lakebase-credential-sidecar.volumes" -}}
{{- $settings := include "lakebase.library.settings" . | fromJson -}}
- name: lakebase-credential
  emptyDir: { medium: Memory, sizeLimit: 1Mi }
- name: lakebase-tmp
  emptyDir: { medium: Memory, sizeLimit: 16Mi }
- name: lakebase-identity
  projected:
    sources:
      {{- include "lakebase.identitySources" (list (index $settings "client-secret-name") $settings.audience) | nindent 6 }}
{{- end -}}

{{/* Entries of the `volumeMounts` of each container that reads the files. */}}
{{- define "lakebase-credential-sidecar.mounts" -}}
- name: lakebase-credential
  mountPath: {{ (include "lakebase.library.settings" . | fromJson).directory | quote }}
  readOnly: true
{{- end -}}

{{/* Entries of its `env`; none where there is no password file. */}}
{{- define "lakebase-credential-sidecar.env" -}}
{{- $settings := include "lakebase.library.settings" . | fromJson -}}
{{- if has "pgpass" (splitList "," $settings.files) -}}
- name: PGPASSFILE
  value: {{ printf "%s/pgpass" $settings.directory | quote }}
{{- end -}}
{{- end -}}
