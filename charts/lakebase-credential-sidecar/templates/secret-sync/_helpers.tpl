{{- define "lakebase.serviceAccountName" -}}
{{- .Values.secretSync.serviceAccount.name | default (include "lakebase.fullname" .) -}}
{{- end -}}

{{/* What no schema can say: each Secret once, and an identity. */}}
{{- define "lakebase.checkSecretSync" -}}
{{- with .Values.secretSync -}}
{{- $_ := required "secretSync.identity.workspaceHost: set it to https:// and the host of the workspace" .identity.workspaceHost -}}
{{- $_ := required "secretSync.identity.clientId: set it to the application id of the service principal" .identity.clientId -}}
{{- $_ := required "secretSync.config.credentials: list what is to be kept fresh (docs/configuration.md)" .config.credentials -}}
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
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}
