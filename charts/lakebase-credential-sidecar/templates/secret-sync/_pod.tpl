{{/* What the pods of the Deployment and that of `helm test` have in common. */}}
{{- define "lakebase.secretSync.pod" -}}
{{- with .Values.secretSync -}}
serviceAccountName: {{ include "lakebase.serviceAccountName" $ | quote }}
# For the API server, which the roles let it ask for its own Secrets only.
automountServiceAccountToken: true
enableServiceLinks: false
{{- with .imagePullSecrets }}
imagePullSecrets:
  {{- range . }}
  - name: {{ . | quote }}
  {{- end }}
{{- end }}
securityContext:
  runAsNonRoot: true
  seccompProfile: { type: RuntimeDefault }
volumes:
  - name: config
    configMap: { name: {{ include "lakebase.fullname" $ | quote }} }
  - name: tmp
    emptyDir: { medium: Memory, sizeLimit: 16Mi }
  - name: identity
    projected:
      sources:
        {{- include "lakebase.identitySources" (list (.identity).clientSecretName (.identity).audience) | nindent 8 }}
{{- with .nodeSelector }}
nodeSelector: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .tolerations }}
tolerations: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .affinity }}
affinity: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .priorityClassName }}
priorityClassName: {{ . | quote }}
{{- end }}
{{- end -}}
{{- end -}}

{{/* With a command of the program. */}}
{{- define "lakebase.secretSync.container" -}}
{{- $root := index . 0 -}}
{{- $command := index . 1 -}}
{{- with $root.Values.secretSync -}}
name: lakebase-credential
image: {{ include "lakebase.image" $root }}
imagePullPolicy: {{ $root.Values.image.pullPolicy }}
args: [{{ $command }}]
env:
  # Also for whoever runs the program in the pod, such as `check`.
  - { name: LAKEBASE_CREDENTIAL_CONFIG, value: /etc/lakebase/config.yaml }
  - { name: DATABRICKS_HOST, value: {{ (.identity).workspaceHost | quote }} }
  - { name: DATABRICKS_CLIENT_ID, value: {{ (.identity).clientId | quote }} }
  {{- if (.identity).clientSecretName }}
  - { name: DATABRICKS_CLIENT_SECRET_FILE, value: /var/run/secrets/databricks/client-secret }
  {{- else }}
  - { name: DATABRICKS_OIDC_TOKEN_FILEPATH, value: /var/run/secrets/databricks/token }
  {{- end }}
  {{- with include "lakebase.environment" $root }}
  {{- . | nindent 2 }}
  {{- end }}
resources: {{- toYaml .resources | nindent 2 }}
securityContext:
  allowPrivilegeEscalation: false
  capabilities: { drop: [ALL] }
  readOnlyRootFilesystem: true
volumeMounts:
  - { name: config, mountPath: /etc/lakebase, readOnly: true }
  - { name: tmp, mountPath: /tmp }
  - { name: identity, mountPath: /var/run/secrets/databricks, readOnly: true }
{{- end -}}
{{- end -}}
