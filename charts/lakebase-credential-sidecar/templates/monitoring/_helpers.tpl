{{/* "true" or empty, of the chart and one of the three parts: `auto` is on where there is a Prometheus operator. */}}
{{- define "lakebase.monitors" -}}
{{- $root := index . 0 -}}
{{- $part := index . 1 -}}
{{- if ($root.Values.monitoring).enabled -}}
{{- if eq (toString $part.enabled) "true" -}}
true
{{- else if and (eq (toString $part.enabled) "auto") ($root.Capabilities.APIVersions.Has "monitoring.coreos.com/v1") -}}
true
{{- end -}}
{{- end -}}
{{- end -}}
