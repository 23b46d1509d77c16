{{- /* The configuration of every process, before `config` of the values is merged over it. */ -}}
{{- define "immune.config" -}}
{{- $name := include "immune.fullname" . -}}
{{- $separate := eq .Values.mode "separate" -}}
metrics: { listen: "0.0.0.0:9464" }
ingestion: { grpc_listen: "0.0.0.0:4317", http_listen: "0.0.0.0:4318" }
dashboard: { listen: "0.0.0.0:8090" }
log: { format: json }
{{- if .Values.gate.enabled }}
gate: {{- mergeOverwrite (dict "listen" "0.0.0.0:9001" "plaintext" (empty (.Values.gate.config).tls)) .Values.gate.config | toYaml | nindent 2 }}
{{- end }}
{{- with .Values.lifecycle.bases }}
levers: { lifecycle: { bases: {{ toJson . }} } }
{{- end }}
access:
  api_keys:
    - { name: admin, role: admin, key_file: /etc/immune/keys/admin }
    - { name: telemetry, role: ingest, key_file: /etc/immune/keys/ingest }
  {{- with .Values.access.oidc }}
  oidc: {{- merge (dict) . (ternary (dict "client_secret_file" "/etc/immune/oidc/secret") (dict) (not (empty $.Values.access.oidcSecret.existingSecret))) | toYaml | nindent 4 }}
  {{- end }}
policy:
  defaults: {{- merge (dict "mode" .Values.policy.mode) .Values.policy.defaults | toYaml | nindent 4 }}
  {{- with .Values.policy.rules }}
  rules: {{- toYaml . | nindent 4 }}
  {{- end }}
{{- if $separate }}
store: { url_file: /etc/immune/database/url }
peers:
  {{- $ports := include "immune.ports" . | fromJson }}
  {{- range $role, $port := $ports }}
  {{ $role }}: {{ printf "%s-%s.%s.svc:%v" $name (ternary "ingestion-grpc" $role (eq $role "ingestion")) $.Release.Namespace $port }}
  {{- end }}
grpc:
  host: 0.0.0.0
  tls: { ca_file: /etc/immune/tls/ca.crt, cert_file: /etc/immune/tls/tls.crt, key_file: /etc/immune/tls/tls.key }
{{- else }}
store: { url: "sqlite:/var/lib/immune/immune.db" }
{{- end }}
{{- if or .Values.redis.url .Values.redis.existingSecret }}
redis: { url_file: /etc/immune/redis/url }
{{- end }}
{{- if .Values.influx.url }}
influx: {{- merge (dict "url" .Values.influx.url) (ternary (dict "token_file" "/etc/immune/influx/token") (dict) (not (empty .Values.influx.existingSecret))) .Values.influx.config | toYaml | nindent 2 }}
{{- end }}
{{- end }}
