{{/*
For charts that have this one as a dependency, and place the sidecar themselves. Each template takes the same dictionary:
`chart`, which is (index .Subcharts "lakebase-credential-sidecar"), and settings by the names of their annotations.
*/}}

{{/* The settings, with the defaults that injection has, as JSON; what cannot work is an error that says what to write. */}}
{{- define "lakebase.library.settings" -}}
{{- $chart := required "lakebase-credential-sidecar: give the templates `chart`: (index .Subcharts \"lakebase-credential-sidecar\")" .chart -}}
{{- $known := concat (values (include "lakebase.settingKeys" $chart | fromYaml)) (list "endpoint" "instance" "run-as-user") | sortAlpha -}}
{{- $known = without $known "containers" -}}
{{- $own := dict -}}
{{- range $key, $value := omit . "chart" -}}
{{- if not (has $key $known) -}}
{{- fail (printf "lakebase-credential-sidecar: no such setting: %s; there are %s" $key (join ", " $known)) -}}
{{- end -}}
{{- $_ := set $own $key (include "lakebase.settingText" $value) -}}
{{- end -}}
{{- $all := dict -}}
{{- range $settings := list $chart.Values.injection.defaults (get $chart.Values.injection.namespaceDefaults $chart.Release.Namespace | default dict) $own -}}
{{- /* Endpoint and instance exclude each other, so both come from one place. */ -}}
{{- if or $settings.endpoint $settings.instance -}}{{- $all = omit $all "endpoint" "instance" -}}{{- end -}}
{{- range $key, $value := $settings -}}{{- $_ := set $all $key (include "lakebase.settingText" $value) -}}{{- end -}}
{{- end -}}
{{- $_ := set $all "files" ($all.files | replace " " "") -}}
{{- include "lakebase.library.check" $all -}}
{{- $all | toJson -}}
{{- end -}}

{{- define "lakebase.library.check" -}}
{{- $name := "lakebase-credential-sidecar" -}}
{{- if and .endpoint .instance -}}
{{- fail (printf "%s: endpoint and instance exclude each other: remove one of them" $name) -}}
{{- else if not (or .endpoint .instance) -}}
{{- fail (printf "%s: set endpoint to projects/PROJECT/branches/BRANCH/endpoints/ENDPOINT, or instance to the name of a Lakebase Provisioned instance" $name) -}}
{{- else if not (regexMatch "^https://" (index . "workspace-host" | default "")) -}}
{{- fail (printf "%s: set workspace-host to https:// and the host of the workspace" $name) -}}
{{- else if not (index . "client-id") -}}
{{- fail (printf "%s: set client-id to the application id of the service principal" $name) -}}
{{- else if and (not (index . "pg-host")) (regexMatch "pgpass|env|uri" .files) -}}
{{- fail (printf "%s: set pg-host to the host of the endpoint; only the files token and json need none" $name) -}}
{{- else if and .ttl .instance -}}
{{- fail (printf "%s: an instance has no ttl: set ttl to nothing" $name) -}}
{{- else if and .ttl (not (regexMatch "^([5-9]m|[1-5][0-9]m|60m|1h|[3-9][0-9]{2}s|[12][0-9]{3}s|3[0-5][0-9]{2}s|3600s)$" .ttl)) -}}
{{- fail (printf "%s: ttl is %s: write 5m to 1h, as 300s, 15m or 1h" $name .ttl) -}}
{{- end -}}
{{- end -}}
