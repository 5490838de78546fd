{{/*
One setting of the pod: its annotation, else the default of its namespace, else that of all. A map with nothing in it has no type.
YAML easily leaves a line break at the end of an annotation; and with one anywhere in a message the API server shows the expression instead.
*/}}
{{- define "lakebase.setting" -}}
- name: {{ .name }}
  expression: "string(variables.annotations[?'lakebase-credential-sidecar/{{ .key }}'].orValue(variables.ofNamespace[?'{{ .key }}'].orValue(variables.defaults[?'{{ .key }}'].orValue('')))){{ include "lakebase.oneLine" . }}"
{{- end -}}

{{/* Endpoint and instance exclude each other, so both come from one place: the first that names any. */}}
{{- define "lakebase.target" -}}
- name: {{ .key }}
  expression: "string((variables.targetFrom == 0 ? variables.annotations[?'lakebase-credential-sidecar/{{ .key }}'] : variables.targetFrom == 1 ? variables.ofNamespace[?'{{ .key }}'] : variables.defaults[?'{{ .key }}']).orValue('')){{ include "lakebase.oneLine" . }}"
{{- end -}}

{{- define "lakebase.oneLine" -}}
.trim().replace('\\n', ' ')
{{- end -}}

{{/* The variables of both policies: what is injected is what is validated. */}}
{{- define "lakebase.settings" -}}
{{- $shapes := include "lakebase.shapes" . | fromYaml -}}
{{- $defaults := .Values.injection.defaults | default dict -}}
{{- include "lakebase.checkEach" (list "injection.defaults" $defaults) -}}
{{- include "lakebase.checkAmounts" (list "injection.defaults" $defaults) -}}
{{- range $namespace, $own := .Values.injection.namespaceDefaults -}}
{{- $whose := printf "injection.namespaceDefaults.%s" $namespace -}}
{{- include "lakebase.checkEach" (list $whose $own) -}}
{{- include "lakebase.checkAmounts" (list $whose $defaults ($own | default dict)) -}}
{{- end -}}
- name: annotations
  expression: "has(object.metadata.annotations) ? object.metadata.annotations : {}"
- name: defaults
  expression: {{ include "lakebase.literal" .Values.injection.defaults | toJson }}
- name: ofNamespace
  expression: {{ include "lakebase.fitting" (include "lakebase.namespaceLiteral" .Values.injection.namespaceDefaults) | toJson }}
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
  expression: "string(variables.annotations[?'lakebase-credential-sidecar/run-as-user'].orValue('')){{ include "lakebase.oneLine" . }}"
- name: defaultUser
  expression: "string(variables.ofNamespace[?'run-as-user'].orValue(variables.defaults[?'run-as-user'].orValue('')))"
- name: mountPath
  expression: "variables.directory.matches(r'{{ $shapes.directory.pattern }}') ? variables.directory : '/run/lakebase'"
{{- range $resource := list "cpu" "memory" }}
{{- range $amount := list "request" "limit" }}
{{- $shape := get $shapes (printf "%s-%s" $resource $amount) }}
- name: {{ $resource }}{{ title $amount }}
  expression: "variables.{{ $resource }}{{ title $amount }}Setting.matches(r'{{ $shape.pattern }}') ? variables.{{ $resource }}{{ title $amount }}Setting : '{{ $shape.default | default "" }}'"
{{- end }}
- name: {{ $resource }}Fits
  expression: "variables.{{ $resource }}Limit == '' || quantity(variables.{{ $resource }}Request).compareTo(quantity(variables.{{ $resource }}Limit)) <= 0"
{{- end }}
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
cpuRequestSetting: cpu-request
cpuLimitSetting: cpu-limit
memoryRequestSetting: memory-request
memoryLimitSetting: memory-limit
{{- end -}}

{{/* For the notes: what a pod has to say itself beside these settings, each with an example, as JSON. */}}
{{- define "lakebase.neededOfPod" -}}
{{- $needed := dict "endpoint" "projects/PROJECT/branches/BRANCH/endpoints/ENDPOINT" "workspace-host" "https://WORKSPACE" "client-id" "APPLICATION-ID" -}}
{{- if regexMatch "pgpass|env|uri" (.files | default "pgpass") -}}{{- $_ := set $needed "pg-host" "HOST" -}}{{- end -}}
{{- range $key, $value := . -}}
{{- if $value -}}{{- $_ := unset $needed (eq $key "instance" | ternary "endpoint" $key) -}}{{- end -}}
{{- end -}}
{{- $needed | toJson -}}
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

{{/* An API server parses no longer expression: it would refuse one policy while the other is there already, and quote it all. */}}
{{- define "lakebase.fitting" -}}
{{- if gt (len .) 100000 -}}
{{- fail (printf "injection.namespaceDefaults: as an expression it has %d characters, but an API server accepts at most 100000: move what most namespaces have in common to injection.defaults, and settings of single applications to annotations of their pods" (len .)) -}}
{{- end -}}
{{- . -}}
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
{{- if or (not (regexMatch $shape.pattern .)) (and $shape.most (gt (int64 .) (int64 $shape.most))) (and $shape.refused (regexMatch $shape.refused .)) (and (eq $key "files") (ne (len $parts) (len (uniq $parts)))) -}}
{{- fail (printf "%s: %s is %s: write %s" $whose $key . $shape.write) -}}
{{- else if eq $key "pg-host" -}}
{{- include "lakebase.refuseHost" (list $whose $key .) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* What the API server would refuse in each pod. Of several settings the last counts; Sprig's `merge` would take a 0 for none. */}}
{{- define "lakebase.checkAmounts" -}}
{{- $whose := first . -}}
{{- $all := rest . -}}
{{- $shapes := include "lakebase.shapes" . | fromYaml -}}
{{- range $resource := list "cpu" "memory" -}}
{{- $texts := dict -}}
{{- range $amount := list "request" "limit" -}}
{{- $key := printf "%s-%s" $resource $amount -}}
{{- $_ := set $texts $amount (get $shapes $key).default -}}
{{- range $settings := $all -}}
{{- $value := get $settings $key -}}
{{- if not (kindIs "invalid" $value) -}}
{{- with include "lakebase.settingText" $value -}}{{- $_ := set $texts $amount . -}}{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- if and $texts.limit (gt (include "lakebase.amount" $texts.request | float64) (include "lakebase.amount" $texts.limit | float64)) -}}
{{- fail (printf "%s: %s-request is %s, above %s-limit, which is %s: lower the request, or raise the limit" $whose $resource $texts.request $resource $texts.limit) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* Of a quantity of Kubernetes, as a number. */}}
{{- define "lakebase.amount" -}}
{{- $units := dict "" 1 "n" 1e-9 "u" 1e-6 "m" 1e-3 "k" 1e3 "M" 1e6 "G" 1e9 "T" 1e12 "P" 1e15 "E" 1e18 -}}
{{- $units = merge $units (dict "Ki" 0x1p10 "Mi" 0x1p20 "Gi" 0x1p30 "Ti" 0x1p40 "Pi" 0x1p50 "Ei" 0x1p60) -}}
{{- $unit := regexFind "([KMGTPE]i|[numkMGTPE])$" . -}}
{{- mulf (trimSuffix $unit . | float64) (get $units $unit) -}}
{{- end -}}
