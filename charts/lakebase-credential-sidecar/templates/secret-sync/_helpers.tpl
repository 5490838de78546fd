{{- define "lakebase.serviceAccountName" -}}
{{- (.Values.secretSync.serviceAccount).name | default (include "lakebase.fullname" .) -}}
{{- end -}}

{{/* What no schema can say, so that it is said at the install and not by pods that end: an identity, names and Secrets once, and what the formats need. */}}
{{- define "lakebase.checkSecretSync" -}}
{{- with .Values.secretSync -}}
{{- $_ := required "secretSync.identity.workspaceHost: set it to https:// and the host of the workspace" (.identity).workspaceHost -}}
{{- $_ := required "secretSync.identity.clientId: set it to the application id of the service principal" .identity.clientId -}}
{{- $_ := required "secretSync.config.credentials: list what is to be kept fresh (docs/configuration.md)" (.config).credentials -}}
{{- if and (not .identity.audience) (not .identity.clientSecretName) -}}
{{- fail "secretSync.identity: set audience, or clientSecretName" -}}
{{- end -}}
{{- include "lakebase.checkTimes" .config -}}
{{- $seen := dict -}}
{{- $names := dict -}}
{{- range .config.credentials -}}
{{- $name := printf "secretSync.config.credentials: %s" .name -}}
{{- $connection := .connection | default dict -}}
{{- include "lakebase.refuseHost" (list $name "connection.host" ($connection.host | default "")) -}}
{{- range .sinks -}}
{{- $formats := values .secret.data -}}
{{- if not (or (has "token" $formats) (has "json" $formats) (has "pgpass" $formats)) -}}
{{- fail (printf "%s: give %s/%s a key with the format token, json or pgpass, so that the program can read the token back" $name .secret.namespace .secret.name) -}}
{{- end -}}
{{- range $field, $needing := dict "host" (list "pgpass" "env" "uri") "database" (list "env" "uri") -}}
{{- range $needing -}}
{{- if and (has . $formats) (not (get $connection $field)) -}}
{{- fail (printf "%s: set connection.%s, which the format %s needs" $name $field .) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- range list "json" "env" "uri" -}}
{{- if and (eq ($connection.host | default "") "*") (has . $formats) -}}
{{- fail (printf "%s: connection.host is *: write a host name, which the format %s needs; only a pgpass line may be valid for any server" $name .) -}}
{{- end -}}
{{- end -}}
{{- $secret := printf "%s/%s" .secret.namespace .secret.name -}}
{{- if hasKey $seen $secret -}}
{{- fail (printf "secretSync.config.credentials: the Secret %s is listed twice, but can hold only one credential: give each credential its own Secret" $secret) -}}
{{- end -}}
{{- $_ := set $seen $secret true -}}
{{- include "lakebase.checkNamespace" (list $ .secret.namespace) -}}
{{- end -}}
{{- if hasKey $names .name -}}
{{- fail (printf "%s is the name of two credentials: give each its own name" $name) -}}
{{- end -}}
{{- $_ := set $names .name true -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* As the program compares them, with its defaults. */}}
{{- define "lakebase.checkTimes" -}}
{{- $at := dig "refresh" "at" 0.667 . -}}
{{- $jitter := dig "refresh" "jitter" 0.1 . -}}
{{- $floor := dig "refresh" "floor" "10s" . -}}
{{- $initial := dig "backoff" "initial" "1s" . -}}
{{- $max := dig "backoff" "max" "1m" . -}}
{{- with dig "minter" "cli" "timeout" "" . -}}
{{- include "lakebase.checkWithin" (list "minter.cli" "timeout" . "1s" "5m") -}}
{{- end -}}
{{- include "lakebase.checkWithin" (list "backoff" "initial" $initial "1s" "1h") -}}
{{- include "lakebase.checkWithin" (list "backoff" "max" $max "1s" "1h") -}}
{{- $shortest := 3600 -}}
{{- range .credentials -}}
{{- $shortest = min $shortest (include "lakebase.seconds" (.ttl | default "1h")) -}}
{{- end -}}
{{- if ge (float64 $jitter) (float64 $at) -}}
{{- fail (printf "secretSync.config.refresh: jitter is %v: write less than at, which is %v" $jitter $at) -}}
{{- else if gt (include "lakebase.seconds" $initial | int64) (include "lakebase.seconds" $max | int64) -}}
{{- fail (printf "secretSync.config.backoff: initial is %s: write no more than max, which is %s" $initial $max) -}}
{{- else if gt (include "lakebase.seconds" $floor | float64) (mulf $at $shortest) -}}
{{- fail (printf "secretSync.config.refresh: floor is %s: write no more than at times the shortest ttl, %.0fs" $floor (floor (mulf $at $shortest))) -}}
{{- end -}}
{{- end -}}

{{/* Of a section an option, with its value and its bounds. */}}
{{- define "lakebase.checkWithin" -}}
{{- $seconds := include "lakebase.seconds" (index . 2) | int64 -}}
{{- if or (lt $seconds (include "lakebase.seconds" (index . 3) | int64)) (gt $seconds (include "lakebase.seconds" (index . 4) | int64)) -}}
{{- fail (printf "secretSync.config.%s: %s is %s: write %s to %s" (index . 0) (index . 1) (index . 2) (index . 3) (index . 4)) -}}
{{- end -}}
{{- end -}}

{{- define "lakebase.seconds" -}}
{{- mul (regexFind "^[0-9]+" .) (get (dict "s" 1 "m" 60 "h" 3600) (regexFind "[smh]$" .)) -}}
{{- end -}}

{{/* Before anything is installed: Helm itself would stop half way. Where there is no API server to ask, nothing is said. */}}
{{- define "lakebase.checkNamespace" -}}
{{- $root := index . 0 -}}
{{- $namespace := index . 1 -}}
{{- if ne $namespace $root.Release.Namespace -}}
{{- $found := lookup "v1" "Namespace" "" $namespace -}}
{{- if and (not $found) (lookup "v1" "Namespace" "" "default") -}}
{{- fail (printf "secretSync.config.credentials: there is no namespace %s: create it first, or correct the name" $namespace) -}}
{{- else if ($found.metadata).deletionTimestamp -}}
{{- fail (printf "secretSync.config.credentials: the namespace %s is being deleted: wait until it is gone and create it again, or remove its Secrets from the list" $namespace) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* Also that of the workspace, and those of the proxy by which the CLI reaches it; where it names none, that of its scheme. */}}
{{- define "lakebase.egressPorts" -}}
{{- $asked := required "secretSync.networkPolicy.egressPorts: list the ports of the API server and the workspace, or set secretSync.networkPolicy.enabled to false" .Values.secretSync.networkPolicy.egressPorts -}}
{{- $ports := list -}}
{{- range $asked -}}{{- $ports = append $ports (int .) -}}{{- end -}}
{{- with regexFind ":[0-9]+" ((.Values.secretSync.identity).workspaceHost | toString) -}}{{- $ports = append $ports (trimPrefix ":" . | int) -}}{{- end -}}
{{- range $name := list "HTTPS_PROXY" "https_proxy" -}}
{{- with get ($.Values.env | default dict) $name -}}
{{- $usual := get (dict "https" 443 "socks5" 1080 "socks5h" 1080) (regexFind "^[^:]*" .) | default 80 -}}
{{- $ports = append $ports (regexFind ":[0-9]+/?$" . | trimAll ":/" | default $usual | int) -}}
{{- end -}}
{{- end -}}
{{- uniq $ports | toJson -}}
{{- end -}}
