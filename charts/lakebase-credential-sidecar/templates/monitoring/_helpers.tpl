{{/* "true" or empty, of the chart and one of the three parts: `auto` is on where there is a Prometheus operator. */}}
{{- define "lakebase.monitors" -}}
{{- $root := index . 0 -}}
{{- $part := index . 1 -}}
{{- if $root.Values.monitoring.enabled -}}
{{- if eq (toString $part.enabled) "true" -}}
true
{{- else if and (eq (toString $part.enabled) "auto") ($root.Capabilities.APIVersions.Has "monitoring.coreos.com/v1") -}}
true
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "lakebase.podMetricsEndpoints" -}}
- port: lakebase-http
  path: /metrics
  {{- with .Values.monitoring.podMonitor.interval }}
  interval: {{ . }}
  {{- end }}
  relabelings:
    # The same in every release and namespace: two alerts and the dashboard ask for it.
    - targetLabel: job
      replacement: lakebase-credential-sidecar
{{- end -}}
