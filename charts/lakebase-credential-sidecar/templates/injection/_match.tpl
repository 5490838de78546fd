{{/* Nothing but pods with the label is ever shown to a policy, so nothing else can fail by one. */}}
{{- define "lakebase.matchConstraints" -}}
resourceRules:
  - { apiGroups: [''], apiVersions: [v1], operations: [CREATE], resources: [pods] }
objectSelector:
  matchLabels: { lakebase-credential-sidecar/inject: 'true' }
{{- end -}}

{{- define "lakebase.binding" -}}
policyName: {{ include "lakebase.clusterName" . }}
# Without its defaults a pod would be created without its sidecar, and nobody told: refused instead.
paramRef:
  name: {{ include "lakebase.fullname" . }}-defaults
  namespace: {{ .Release.Namespace }}
  parameterNotFoundAction: Deny
matchResources:
  namespaceSelector: {{- toYaml .Values.injection.namespaceSelector | nindent 4 }}
{{- end -}}
