{{- define "lakebase.serviceAccountName" -}}
{{- (.Values.secretSync.serviceAccount).name | default (include "lakebase.fullname" .) -}}
{{- end -}}

{{/* What no schema can say: each Secret once, and an identity. */}}
{{- define "lakebase.checkSecretSync" -}}
{{- with .Values.secretSync -}}
{{- $_ := required "secretSync.identity.workspaceHost: set it to https:// and the host of the workspace" (.identity).workspaceHost -}}
{{- $_ := required "secretSync.identity.clientId: set it to the application id of the service principal" .identity.clientId -}}
{{- $_ := required "secretSync.config.credentials: list what is to be kept fresh (docs/configuration.md)" (.config).credentials -}}
{{- if and (not .identity.audience) (not .identity.clientSecretName) -}}
{{- fail "secretSync.identity: set audience, or clientSecretName" -}}
{{- end -}}
{{- $seen := dict -}}
{{- range .config.credentials -}}
{{- range .sinks -}}
{{- $secret := printf "%s/%s" .secret.namespace .secret.name -}}
{{- if hasKey $seen $secret -}}
{{- fail (printf "secretSync.config.credentials: the Secret %s is listed twice, and can hold one credential only" $secret) -}}
{{- end -}}
{{- $_ := set $seen $secret true -}}
{{- include "lakebase.checkNamespace" (list $ .secret.namespace) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* Before anything is installed: Helm itself would stop half way. Where there is no API server to ask, nothing is said. */}}
{{- define "lakebase.checkNamespace" -}}
{{- $root := index . 0 -}}
{{- $namespace := index . 1 -}}
{{- if ne $namespace $root.Release.Namespace -}}
{{- if and (not (lookup "v1" "Namespace" "" $namespace)) (lookup "v1" "Namespace" "" "default") -}}
{{- fail (printf "secretSync.config.credentials: there is no namespace %s: make it first, or correct the name" $namespace) -}}
{{- end -}}
{{- end -}}
{{- end -}}
