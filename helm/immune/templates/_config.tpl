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
{{- if or .Values.lifecycle.bases .Values.levers.kubernetes.enabled }}
levers:
  {{- with .Values.lifecycle.bases }}
  lifecycle: { bases: {{ toJson . }} }
  {{- end }}
  {{- if .Values.levers.kubernetes.enabled }}
  kubernetes: {{- include "immune.kubernetesConfig" . | nindent 4 }}
  {{- end }}
{{- end }}
{{- if .Values.resources.enabled }}
resources: {{- include "immune.resourcesConfig" . | nindent 2 }}
{{- end }}
access:
  api_keys:
    - { name: admin, role: admin, key_file: /etc/immune/keys/admin }
    - { name: telemetry, role: ingest, key_file: /etc/immune/keys/ingest }
  {{- with .Values.access.oidc }}
  oidc: {{- merge (dict) . (ternary (dict "client_secret_file" "/etc/immune/oidc/secret") (dict) (not (empty $.Values.access.oidcSecret.existingSecret))) | toYaml | nindent 4 }}
  {{- end }}
policy:
  {{- $levers := ternary (dict "levers" (list "kubernetes")) (dict) (and .Values.levers.kubernetes.enabled (not .Values.lifecycle.bases)) }}
  defaults: {{- merge (dict "mode" .Values.policy.mode) .Values.policy.defaults $levers | toYaml | nindent 4 }}
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
{{- define "immune.kubernetesConfig" -}}
{{- $k := .Values.levers.kubernetes -}}
{{- $takes := dict "root" . "role" (ternary "all" "ingestion" (eq .Values.mode "allInOne")) -}}
{{- $here := dict "namespace" .Release.Namespace "pod_labels" (include "immune.selector" $takes | fromYaml) "ports" (list "4317/TCP" "4318/TCP") -}}
{{- $said := dict "enabled" true "namespaces" (include "immune.leverNamespaces" . | fromJsonArray) "all_namespaces" $k.allNamespaces -}}
{{- $said = merge $said (dict "scale_to_zero" $k.scaleToZero "label_template" $k.labelTemplate) -}}
{{- $said = merge $said (dict "cilium" $k.cilium "sandboxes" $k.sandboxes "kagent" $k.kagent) -}}
{{- merge $said (dict "telemetry" (default (list $here) $k.telemetry)) $k.config | toYaml -}}
{{- end }}
{{- define "immune.resourcesConfig" -}}
{{- $r := .Values.resources -}}
{{- $account := printf "%s-%s" (include "immune.fullname" .) (ternary "all" "quarantine" (eq .Values.mode "allInOne")) -}}
{{- $said := dict "enabled" true "namespace" .Release.Namespace "all_namespaces" (not (empty (include "immune.resourcesEverywhere" .))) -}}
{{- $said = merge $said (dict "namespaces" (without (include "immune.resourceNamespaces" . | fromJsonArray) .Release.Namespace)) -}}
{{- $said = merge $said (dict "protected" $r.protected "policies" $r.policies) -}}
{{- $said = merge $said (dict "cases" (dict "enabled" $r.cases.enabled "keep_closed_seconds" (int $r.cases.keepClosedSeconds))) -}}
{{- if include "immune.webhook" . -}}
{{- $webhook := dict "listen" "0.0.0.0:9443" "certificate_file" "/etc/immune/webhook/tls.crt" "key_file" "/etc/immune/webhook/tls.key" -}}
{{- $webhook = merge $webhook (dict "seal_key_file" "/etc/immune/seal/key" "service_account" (printf "system:serviceaccount:%s:%s" .Release.Namespace $account)) -}}
{{- $said = set $said "webhook" $webhook -}}
{{- end -}}
{{- merge $said $r.config | toYaml -}}
{{- end }}
