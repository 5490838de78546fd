{{/* In a namespace that releases of the same name in other namespaces may write into, too. */}}
{{- define "lakebase.roleName" -}}
{{- $root := index . 0 -}}
{{- printf "%s.%s.%s" (include "lakebase.fullname" $root) $root.Release.Namespace (index . 1).name -}}
{{- end -}}

{{/*
"true" or empty: whether the Secret is part of this release. One that is there already and belongs to another release or
to none is not, for Helm would refuse it. What was part of the release stays so, which its Role remembers: else Helm would
delete a Secret that somebody had deleted and the program made again.
*/}}
{{- define "lakebase.makesSecret" -}}
{{- $root := index . 0 -}}
{{- $secret := index . 1 -}}
{{- $role := lookup "rbac.authorization.k8s.io/v1" "Role" $secret.namespace (include "lakebase.roleName" .) -}}
{{- $metadata := (lookup "v1" "Secret" $secret.namespace $secret.name).metadata | default dict -}}
{{- $owner := $metadata.annotations | default dict -}}
{{- if hasPrefix "kubernetes.io/" ($secret.type | default "Opaque") -}}
{{- /* The API server takes none of those without its keys. */ -}}
{{- else if get (($role.metadata).annotations | default dict) "lakebase-credential-sidecar/makes-secret" -}}
true
{{- else if not $metadata -}}
true
{{- else if and (eq (get $owner "meta.helm.sh/release-name") $root.Release.Name) (eq (get $owner "meta.helm.sh/release-namespace") $root.Release.Namespace) -}}
true
{{- end -}}
{{- end -}}
