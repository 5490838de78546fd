{{/*
For charts that have this one as a dependency, and place the sidecar themselves. Each template takes the same dictionary:
`chart`, which is (index .Subcharts "lakebase-credential-sidecar"), and settings by the names of their annotations.
*/}}

{{/* The settings, with the defaults that injection has, as JSON; what cannot work is an error that says what to write. */}}
{{- define "lakebase.library.settings" -}}
{{- $chart := required "lakebase-credential-sidecar: give the templates `chart`: (index .Subcharts \"lakebase-credential-sidecar\")" .chart -}}
{{- $known := concat (values (include "lakebase.settingKeys" $chart | fromYaml)) (list "endpoint" "instance" "run-as-user") | sortAlpha -}}
{{- $known = without $known "containers" -}}
{{- $own := omit . "chart" -}}
{{- range $key := keys $own | sortAlpha -}}
{{- if not (has $key $known) -}}
{{- fail (printf "lakebase-credential-sidecar: unknown setting: %s; the settings are %s" $key (join ", " $known)) -}}
{{- end -}}
{{- end -}}
{{- $all := dict -}}
{{- $defaults := ($chart.Values.injection).defaults | default dict -}}
{{- $ofNamespace := get (($chart.Values.injection).namespaceDefaults | default dict) $chart.Release.Namespace | default dict -}}
{{- range $settings := list $defaults $ofNamespace $own -}}
{{- /* Endpoint and instance exclude each other, so both come from one place. */ -}}
{{- if or $settings.endpoint $settings.instance -}}{{- $all = omit $all "endpoint" "instance" -}}{{- end -}}
{{- range $key, $value := $settings -}}
{{- /* Null is what the values of another chart have for what nobody has set. */ -}}
{{- if not (kindIs "invalid" $value) -}}{{- $_ := set $all $key (include "lakebase.settingText" $value | trim) -}}{{- end -}}
{{- end -}}
{{- end -}}
{{- range $key, $shape := include "lakebase.shapes" . | fromYaml -}}
{{- if not (get $all $key) -}}{{- $_ := set $all $key ($shape.default | default "") -}}{{- end -}}
{{- end -}}
{{- $_ := set $all "files" (regexReplaceAll "\\s*,\\s*" (trim $all.files) ",") -}}
{{- include "lakebase.library.check" $all -}}
{{- $all | toJson -}}
{{- end -}}

{{/* What the validating policy refuses in the settings of a pod. */}}
{{- define "lakebase.library.check" -}}
{{- $name := "lakebase-credential-sidecar" -}}
{{- $settings := . -}}
{{- $shapes := include "lakebase.shapes" . | fromYaml -}}
{{- $formats := splitList "," .files -}}
{{- $host := index . "pg-host" -}}
{{- $isUrl := or (has "env" $formats) (has "uri" $formats) -}}
{{- if and .endpoint .instance -}}
{{- fail (printf "%s: endpoint and instance cannot be used together: remove one of them" $name) -}}
{{- else if not (or .endpoint .instance) -}}
{{- fail (printf "%s: set endpoint to %s, or instance to the name of a Lakebase Provisioned instance" $name $shapes.endpoint.write) -}}
{{- end -}}
{{- range $key := list "workspace-host" "client-id" "files" "directory" -}}
{{- if not (get $settings $key) -}}
{{- fail (printf "%s: set %s to %s" $name $key (get $shapes $key).write) -}}
{{- end -}}
{{- end -}}
{{- include "lakebase.checkEach" (list $name .) -}}
{{- include "lakebase.checkAmounts" (list $name .) -}}
{{- if not (or .audience (index . "client-secret-name")) -}}
{{- fail (printf "%s: set audience to the audience of the federation policy" $name) -}}
{{- else if and .ttl .instance -}}
{{- fail (printf "%s: an instance does not support a ttl: set ttl to an empty value" $name) -}}
{{- else if and (not $host) (or $isUrl (has "pgpass" $formats)) -}}
{{- fail (printf "%s: set pg-host to the host of the endpoint; only the files token and json do not need it" $name) -}}
{{- else if and (eq $host "*") (or $isUrl (has "json" $formats)) -}}
{{- fail (printf "%s: pg-host is *: write %s; only a pgpass line may be valid for any server" $name (index $shapes "pg-host" "write")) -}}
{{- else if and (not (index . "pg-database")) $isUrl -}}
{{- fail (printf "%s: set pg-database to %s" $name (index $shapes "pg-database" "write")) -}}
{{- end -}}
{{- end -}}
