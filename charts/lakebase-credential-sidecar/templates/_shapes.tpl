{{/*
What a setting must look like, and what to write else: for the policies, for the templates of other charts, and for the schema
of the values; where that has a pattern from the program, a test says that it is the same. No apostrophes and no quotes in
`write`: it stands in an expression.
*/}}
{{- define "lakebase.shapes" -}}
endpoint:
  pattern: '^projects/[A-Za-z0-9][A-Za-z0-9._-]{0,127}/branches/[A-Za-z0-9][A-Za-z0-9._-]{0,127}/endpoints/[A-Za-z0-9][A-Za-z0-9._-]{0,127}$'
  write: projects/PROJECT/branches/BRANCH/endpoints/ENDPOINT
instance:
  pattern: '^[A-Za-z0-9][A-Za-z0-9_-]{0,62}$'
  write: the name of a Lakebase Provisioned instance, letters, digits, - and _
workspace-host:
  pattern: '^https://[A-Za-z0-9][A-Za-z0-9.-]*(:([1-9][0-9]{0,3}|[1-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5]))?/?([?][ow]=[A-Za-z0-9_-]{1,64})?$'
  write: https:// and the host of the workspace, with /?o=NUMBER if it serves several workspaces
client-id:
  pattern: '^[A-Za-z0-9-]{1,64}$'
  write: the application id of the service principal
audience:
  # Of what is left of the controls Helm makes no YAML.
  pattern: '^[^\x7f-\x9f]*$'
  write: the audience of the federation policy, without control characters
client-secret-name:
  pattern: '^[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?$'
  write: the name of a Secret with the key client-secret
ttl:
  pattern: '^([5-9]m|[1-5][0-9]m|60m|1h|[3-9][0-9]{2}s|[12][0-9]{3}s|3[0-5][0-9]{2}s|3600s)$'
  write: 5m to 1h, such as 300s, 15m or 1h
files:
  pattern: '^(pgpass|token|json|env|uri)(,(pgpass|token|json|env|uri))*$'
  write: one or more of pgpass, token, json, env and uri, each once, separated by commas
directory:
  pattern: '^(/[A-Za-z0-9._-]+)+$'
  # What the container has of its own, and what the volume would hide of the image.
  refused: '/[.]{1,2}(/|$)|^/(tmp|var/run/secrets|dev|proc|sys|nodejs|app/parts|(usr/(local/)?)?(s?bin|lib(64)?))(/|$)|^/(app|etc|etc/ssl|etc/ssl/certs|usr|usr/local)$'
  write: an absolute path, such as /run/lakebase, but not in /tmp, /var/run/secrets, /dev, /proc, /sys or a directory of programs, and not /app or /etc itself
pg-host:
  pattern: '^([A-Za-z0-9]([A-Za-z0-9._-]{0,252}[A-Za-z0-9.])?|[0-9A-Fa-f:.]{2,45})$|^\*$'
  # An address of IPv6 has more than one colon.
  refused: '^[^:]*:[^:]*$'
  write: a host name without port
  pooler: '(?i)-pooler([.]|$)'
pg-database:
  pattern: &word '^[^\s\p{Z}\x00-\x1f\x7f-\x9f]{1,255}$'
  write: the name of the database
pg-user:
  pattern: *word
  write: the Postgres role
run-as-user:
  pattern: '^[1-9][0-9]{0,9}$'
  # Kubernetes takes no more.
  most: 2147483647
  write: the number of a user that is not root, at most 2147483647
cpu-request:
  pattern: &quantity '^[+]?([0-9]+[.]?[0-9]*|[.][0-9]+)([KMGTPE]i|[numkMGTPE]|[eE][+-]?[0-9]+)?$'
  write: &aQuantity a quantity, such as 50m of cpu or 64Mi of memory
  # Where there is none, or no such.
  default: 10m
# Without one there is no limit, so that the start is not throttled.
cpu-limit: { pattern: *quantity, write: *aQuantity }
memory-request: { pattern: *quantity, write: *aQuantity, default: 64Mi }
memory-limit: { pattern: *quantity, write: *aQuantity, default: 256Mi }
{{- end -}}
