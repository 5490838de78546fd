{{/* Of the chart, for names of objects: an alias may be in camelCase or have underscores. */}}
{{- define "lakebase.chartName" -}}
{{- .Chart.Name | lower | replace "_" "-" | trimAll "-" -}}
{{- end -}}

{{- define "lakebase.fullname" -}}
{{- $chart := include "lakebase.chartName" . -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride -}}
{{- else if contains $chart .Release.Name -}}
{{- .Release.Name | trunc 63 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $chart | trunc 63 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{/* What belongs to no namespace is named after the release and its namespace: releases never meet. */}}
{{- define "lakebase.clusterName" -}}
{{- printf "%s.%s.%s" (include "lakebase.chartName" .) .Release.Namespace .Release.Name -}}
{{- end -}}

{{- define "lakebase.selectorLabels" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name | quote }}
{{- end -}}

{{- define "lakebase.labels" -}}
{{ include "lakebase.selectorLabels" . }}
app.kubernetes.io/version: {{ include "lakebase.labelValue" .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ include "lakebase.labelValue" (printf "%s-%s" .Chart.Name .Chart.Version) }}
{{- end -}}

{{/* A version may have a + and be long, as one with a commit in it. */}}
{{- define "lakebase.labelValue" -}}
{{- . | replace "+" "_" | trunc 63 | trimAll "-_." -}}
{{- end -}}

{{- define "lakebase.image" -}}
{{- $image := .Values.image | default dict -}}
{{- $repository := required "image.repository: set it to where your clusters pull the image from (docs/images.md)" $image.repository -}}
{{- if regexMatch ":[^/]*$" $repository -}}
{{- fail (printf "image.repository: %s has a tag: write it into image.tag" $repository) -}}
{{- else if not (regexMatch "^([A-Za-z0-9.-]+(:[0-9]+)?/)?[a-z0-9]+([._-]+[a-z0-9]+)*(/[a-z0-9]+([._-]+[a-z0-9]+)*)*$" $repository) -}}
{{- fail (printf "image.repository: %s is not the name of an image: write registry and name in lower case, such as registry.example.com/lakebase-credential-sidecar" $repository) -}}
{{- end -}}
{{- if $image.digest -}}
{{- printf "%s@%s" $repository $image.digest -}}
{{- else -}}
{{- printf "%s:%s" $repository ($image.tag | default .Chart.AppVersion) -}}
{{- end -}}
{{- end -}}

{{/* "true" or empty: `auto` is on where the API server has the policies. */}}
{{- define "lakebase.injects" -}}
{{- $has := semverCompare ">=1.36.0-0" .Capabilities.KubeVersion.Version -}}
{{- if eq (toString (.Values.injection).enabled) "true" -}}
{{- if not $has -}}
{{- fail (printf "injection.enabled: injection needs Kubernetes 1.36 or newer, this is %s (helm template needs --kube-version): set it to false, and add the kustomize component manifests/components/sidecar to your applications instead (docs/kubernetes.md)" .Capabilities.KubeVersion.Version) -}}
{{- end -}}
true
{{- else if and $has (eq (toString (.Values.injection).enabled) "auto") -}}
true
{{- end -}}
{{- end -}}

{{/* Entries of the container's `env`. */}}
{{- define "lakebase.environment" -}}
{{- $entries := list -}}
{{- range $name, $value := .Values.env -}}
{{- $entries = append $entries (printf "- { name: %s, value: %s }" $name ($value | quote)) -}}
{{- end -}}
{{- join "\n" $entries -}}
{{- end -}}

{{/* What the program logs in with, for the `sources` of a volume: a Secret of that name, or else a token for that audience. */}}
{{- define "lakebase.identitySources" -}}
{{- with index . 0 -}}
- secret:
    name: {{ . | quote }}
    items: [{ key: client-secret, path: client-secret }]
{{- else -}}
- serviceAccountToken:
    audience: {{ index . 1 | quote }}
    expirationSeconds: 3600
    path: token
{{- end -}}
{{- end -}}

{{/* Whose setting it is and how it is called there, and the host. */}}
{{- define "lakebase.refuseHost" -}}
{{- $host := index . 2 -}}
{{- $shape := index (include "lakebase.shapes" . | fromYaml) "pg-host" -}}
{{- if regexMatch $shape.refused $host -}}
{{- fail (printf "%s: %s is %s: write %s" (index . 0) (index . 1) $host $shape.write) -}}
{{- else if regexMatch $shape.pooler $host -}}
{{- fail (printf "%s: %s is %s: a pooler does not accept OAuth tokens; write the host without -pooler" (index . 0) (index . 1) $host) -}}
{{- end -}}
{{- end -}}
