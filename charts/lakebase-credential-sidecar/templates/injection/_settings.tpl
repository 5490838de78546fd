{{/* One setting of the pod: its annotation, else the default of its namespace, else that of all. A map with nothing in it has no type. */}}
{{- define "lakebase.setting" -}}
- name: {{ .name }}
  expression: "string(variables.annotations[?'lakebase-credential-sidecar/{{ .key }}'].orValue(variables.ofNamespace[?'{{ .key }}'].orValue(variables.defaults[?'{{ .key }}'].orValue(''))))"
{{- end -}}

{{/* Endpoint and instance exclude each other, so both come from one place: the first that names any. */}}
{{- define "lakebase.target" -}}
- name: {{ .key }}
  expression: "string((variables.targetFrom == 0 ? variables.annotations[?'lakebase-credential-sidecar/{{ .key }}'] : variables.targetFrom == 1 ? variables.ofNamespace[?'{{ .key }}'] : variables.defaults[?'{{ .key }}']).orValue(''))"
{{- end -}}

{{/* The variables of both policies: what is injected is what is validated. */}}
{{- define "lakebase.settings" -}}
{{- include "lakebase.checkEach" (list "injection.defaults" (.Values.injection.defaults | default dict)) -}}
{{- range $namespace, $own := .Values.injection.namespaceDefaults -}}
{{- include "lakebase.checkEach" (list (printf "injection.namespaceDefaults.%s" $namespace) $own) -}}
{{- end -}}
- name: annotations
  expression: "has(object.metadata.annotations) ? object.metadata.annotations : {}"
- name: defaults
  expression: {{ include "lakebase.literal" .Values.injection.defaults | toJson }}
- name: ofNamespace
  expression: {{ include "lakebase.namespaceLiteral" .Values.injection.namespaceDefaults | toJson }}
- name: targetFrom
  expression: "'lakebase-credential-sidecar/endpoint' in variables.annotations || 'lakebase-credential-sidecar/instance' in variables.annotations ? 0 : 'endpoint' in variables.ofNamespace || 'instance' in variables.ofNamespace ? 1 : 2"
{{ include "lakebase.target" (dict "key" "endpoint") }}
{{ include "lakebase.target" (dict "key" "instance") }}
{{- range $name, $key := include "lakebase.settingKeys" . | fromYaml }}
{{ include "lakebase.setting" (dict "name" $name "key" $key) }}
{{- end }}
- name: formats
  expression: "variables.files.split(',').map(f, f.trim())"
- name: only
  expression: "variables.containers.split(',').map(n, n.trim()).filter(n, n != '')"
- name: candidates
  expression: "object.spec.containers + (has(object.spec.initContainers) ? object.spec.initContainers : []).filter(c, c.name != 'lakebase-credential')"
- name: podUser
  expression: "object.spec.?securityContext.?runAsUser.orValue(-1)"
- name: userSetting
  expression: "variables.annotations[?'lakebase-credential-sidecar/run-as-user'].orValue('')"
- name: defaultUser
  expression: "string(variables.ofNamespace[?'run-as-user'].orValue(variables.defaults[?'run-as-user'].orValue('')))"
- name: users
  expression: "variables.candidates.filter(c, variables.only.size() == 0 || c.name in variables.only).map(c, c.?securityContext.?runAsUser.orValue(variables.podUser)).filter(u, u >= 0)"
- name: user
  expression: "variables.userSetting != '' ? (variables.userSetting.matches('^[0-9]{1,10}$') ? int(variables.userSetting) : -1) : variables.users.size() > 0 ? variables.users[0] : variables.defaultUser.matches('^[0-9]{1,10}$') ? int(variables.defaultUser) : -1"
- name: mountPath
  expression: "variables.directory.matches(r'{{ (include "lakebase.shapes" . | fromYaml).directory.pattern }}') ? variables.directory : '/run/lakebase'"
{{- end -}}

{{- define "lakebase.settingKeys" -}}
clientId: client-id
workspaceHost: workspace-host
audience: audience
clientSecretName: client-secret-name
ttl: ttl
files: files
directory: directory
containers: containers
pgHost: pg-host
pgDatabase: pg-database
pgUser: pg-user
cpuRequest: cpu-request
memoryRequest: memory-request
memoryLimit: memory-limit
{{- end -}}

{{/*
Settings as an expression, not as parameters in a ConfigMap: once no binding names that kind, API servers up to 1.36 at
least never look at ConfigMaps again until they are restarted (kubernetes/kubernetes#130887), and every pod is refused.
*/}}
{{- define "lakebase.literal" -}}
{{- $entries := list -}}
{{- range $key, $value := . -}}
{{- if not (kindIs "invalid" $value) -}}
{{- $entries = append $entries (printf "%s: %s" ($key | toJson) (include "lakebase.settingText" $value | toJson)) -}}
{{- end -}}
{{- end -}}
{ {{- join ", " $entries -}} }
{{- end -}}

{{- define "lakebase.namespaceLiteral" -}}
{{- $entries := list -}}
{{- range $namespace, $settings := . -}}
{{- $entries = append $entries (printf "%s: %s" ($namespace | toJson) (include "lakebase.literal" $settings)) -}}
{{- end -}}
{ {{- join ", " $entries -}} }[?request.namespace].orValue({})
{{- end -}}

{{/* Helm has numbers as floating-point ones, and would write large users with an exponent. */}}
{{- define "lakebase.settingText" -}}
{{- if kindIs "string" . }}{{ . }}
{{- else if not (has (kindOf .) (list "int" "int64" "float64")) }}{{ toJson . }}
{{- else if eq (float64 .) (floor .) }}{{ int64 . }}
{{- else }}{{ . }}{{ end -}}
{{- end -}}

{{/* What each of these settings alone shows to be wrong, also where the schema of the values cannot. Whose they are begins the message. */}}
{{- define "lakebase.checkEach" -}}
{{- $whose := index . 0 -}}
{{- $settings := index . 1 -}}
{{- range $key, $shape := include "lakebase.shapes" . | fromYaml -}}
{{- with include "lakebase.settingText" (get $settings $key | default "") -}}
{{- $parts := splitList "," . -}}
{{- if or (not (regexMatch $shape.pattern .)) (and $shape.refused (regexMatch $shape.refused .)) (and (eq $key "files") (ne (len $parts) (len (uniq $parts)))) -}}
{{- fail (printf "%s: %s is %s: write %s" $whose $key . $shape.write) -}}
{{- else if eq $key "pg-host" -}}
{{- include "lakebase.refusePooler" (list $whose $key .) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}
