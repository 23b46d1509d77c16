{{- define "immune.name" -}}{{ default .Chart.Name .Values.nameOverride | trunc 40 | trimSuffix "-" }}{{- end }}
{{- define "immune.fullname" -}}
{{- if .Values.fullnameOverride }}{{ .Values.fullnameOverride | trunc 40 | trimSuffix "-" }}
{{- else if contains (include "immune.name" .) .Release.Name }}{{ .Release.Name | trunc 40 | trimSuffix "-" }}
{{- else }}{{ printf "%s-%s" .Release.Name (include "immune.name" .) | trunc 40 | trimSuffix "-" }}{{ end }}
{{- end }}
{{- define "immune.selector" -}}
app.kubernetes.io/name: {{ include "immune.name" .root }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .role }}
{{- end }}
{{- define "immune.labels" -}}
{{ include "immune.selector" . }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
app.kubernetes.io/part-of: immune
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version | replace "+" "_" }}
{{- with .root.Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end }}
{{- define "immune.meta" -}}
name: {{ .name }}
{{- if not .cluster }}
namespace: {{ .namespace | default .root.Release.Namespace }}
{{- end }}
labels: {{- include "immune.labels" . | nindent 2 }}
{{- with .labels }}{{ toYaml . | nindent 2 }}{{ end }}
{{- with merge (dict) (.annotations | default dict) .root.Values.commonAnnotations }}
annotations: {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}
{{- define "immune.image" -}}
{{- $i := .Values.image -}}
{{- with $i.registry }}{{ . }}/{{ end }}{{ $i.repository }}{{ if $i.digest }}@{{ $i.digest }}{{ else }}:{{ default .Chart.AppVersion $i.tag }}{{ end }}
{{- end }}
{{- define "immune.roles" -}}{{ if eq .Values.mode "allInOne" }}all{{ else }}ingestion baseline sentinel quarantine healer dashboard{{ end }}{{- end }}
{{- define "immune.ports" -}}
{"ingestion": 50051, "baseline": 50052, "sentinel": 50053, "quarantine": 50054, "healer": 50055, "dashboard": 50056}
{{- end }}
{{- define "immune.bundled" -}}
{{- if and (eq .Values.mode "separate") .Values.database.bundled.enabled (not .Values.database.url) (not .Values.database.existingSecret) }}yes{{ end }}
{{- end }}
{{- define "immune.databaseSecret" -}}{{ .Values.database.existingSecret | default (printf "%s-database" (include "immune.fullname" .)) }}{{- end }}
{{- define "immune.databaseKey" -}}{{ if .Values.database.existingSecret }}{{ .Values.database.existingSecretKey }}{{ else }}url{{ end }}{{- end }}
{{- define "immune.podSecurity" -}}
runAsNonRoot: true
{{- if not .Values.openshift }}
runAsUser: 65532
runAsGroup: 65532
fsGroup: 65532
fsGroupChangePolicy: OnRootMismatch
{{- end }}
seccompProfile: { type: RuntimeDefault }
{{- end }}
{{- define "immune.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: { drop: [ALL] }
{{- end }}
{{- /* What was made once and is kept: the key of a Secret that exists, else a new value. */ -}}
{{- define "immune.kept" -}}
{{- $old := lookup "v1" "Secret" .root.Release.Namespace .secret -}}
{{- if and $old $old.data (hasKey $old.data .key) }}{{ index $old.data .key | b64dec }}{{ else }}{{ .new }}{{ end }}
{{- end }}
{{- /* For `immune migrate`, which needs the database and none of the other secrets. */ -}}
{{- define "immune.databaseEnv" -}}
- name: DATABASE_URL
  valueFrom: { secretKeyRef: { name: {{ include "immune.databaseSecret" . }}, key: {{ include "immune.databaseKey" . }} } }
{{- end }}
{{- /* Where a pod may run, from `pod` of the values or what a role says otherwise. */ -}}
{{- define "immune.placement" -}}
{{- $v := . -}}
{{- with $v.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with $v.nodeSelector }}
nodeSelector: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $v.tolerations }}
tolerations: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $v.affinity }}
affinity: {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}
{{- /* Values that each may be right, and together are not. The schema sees only one at a time. */ -}}
{{- define "immune.check" -}}
{{- if eq .Values.mode "allInOne" }}
{{- if or .Values.database.url .Values.database.existingSecret }}
{{- fail "mode: allInOne keeps its state in SQLite: leave out database.url and database.existingSecret, or take mode: separate" }}
{{- end }}
{{- else }}
{{- range $role, $v := .Values.roles }}
{{- if and $v.autoscaling.enabled (gt (int $v.autoscaling.minReplicas) (int $v.autoscaling.maxReplicas)) }}
{{- fail (printf "roles.%s.autoscaling: minReplicas %d is more than maxReplicas %d" $role (int $v.autoscaling.minReplicas) (int $v.autoscaling.maxReplicas)) }}
{{- end }}
{{- end }}
{{- end }}
{{- $k := .Values.levers.kubernetes }}
{{- if and $k.allNamespaces $k.namespaces }}
{{- fail "levers.kubernetes: allNamespaces takes no list: leave out namespaces, or name them" }}
{{- end }}
{{- if and .Values.resources.allNamespaces .Values.resources.namespaces }}
{{- fail "resources: allNamespaces takes no list: leave out namespaces, or name them" }}
{{- end }}
{{- /* The rights in the cluster and what the program thinks it may do come from the same values. */}}
{{- if or ((.Values.config).levers).kubernetes (.Values.config).resources }}
{{- fail "config: set levers.kubernetes and resources as values, which give the rights that go with them; their other fields go under levers.kubernetes.config and resources.config" }}
{{- end }}
{{- if and (include "immune.webhook" .) (eq .Values.tls.source "secrets") (not .Values.resources.webhook.existingSecret) }}
{{- fail (printf "tls.source: secrets needs resources.webhook.existingSecret with a certificate for %s.%s.svc, or resources.webhook.enabled: false" (include "immune.webhookName" .) .Release.Namespace) }}
{{- end }}
{{- range .Values.lifecycle.bases }}
{{- if .token }}
{{- fail (printf "lifecycle.bases: the token of %s would be readable in a ConfigMap; put it into a Secret, name that in secretFiles, and set token_file" .url) }}
{{- end }}
{{- end }}
{{- end }}
