{{/* Nothing but pods with the label is ever shown to a policy, so nothing else can fail by one. */}}
{{- define "lakebase.resourceRules" -}}
# In a list, so even what the API server would add is written: Argo CD would compare the two for ever.
- { apiGroups: [''], apiVersions: [v1], operations: [CREATE], resources: [pods], scope: '*' }
{{- end -}}

{{- define "lakebase.binding" -}}
{{- if not .Values.injection.namespaceSelector -}}
{{- fail "injection.namespaceSelector: it is empty, which would select every namespace, even kube-system: keep the default, or write matchExpressions: [] to select every namespace" -}}
{{- end -}}
policyName: {{ include "lakebase.clusterName" . }}
matchResources:
  namespaceSelector: {{- toYaml .Values.injection.namespaceSelector | nindent 4 }}
{{- end -}}

{{/* Without any, the API server says so itself, but only after the expressions here, which count on one. */}}
{{- define "lakebase.hasContainers" -}}
- name: has-containers
  expression: "dyn(object.spec.containers) != null && object.spec.containers.size() > 0"
{{- end -}}

{{- define "lakebase.volumeNames" -}}
['lakebase-credential', 'lakebase-tmp', 'lakebase-identity']
{{- end -}}
