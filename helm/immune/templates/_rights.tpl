{{- /* Rules of `files/rbac`, of `files` in turn; with `verbs`, only these of each rule; with `names`, only of these objects. */ -}}
{{- define "immune.rules" -}}
{{- $at := . -}}
{{- $rules := list -}}
{{- range $file := .files -}}
{{- range $rule := $at.root.Files.Get (printf "files/rbac/%s.yaml" $file) | required (printf "files/rbac/%s.yaml is missing" $file) | fromYamlArray -}}
{{- $verbs := list -}}
{{- range $rule.verbs -}}
{{- if or (not $at.verbs) (has . $at.verbs) -}}{{- $verbs = append $verbs . -}}{{- end -}}
{{- end -}}
{{- $kept := merge (dict "verbs" $verbs) (omit $rule "verbs") -}}
{{- if $at.names -}}{{- $kept = set $kept "resourceNames" $at.names -}}{{- end -}}
{{- if $verbs -}}{{- $rules = append $rules $kept -}}{{- end -}}
{{- end -}}
{{- end -}}
{{- toYaml $rules -}}
{{- end }}
{{- /* Gives `rules` to the accounts of `roles`: in each of `namespaces`, or with `cluster` everywhere. */ -}}
{{- define "immune.grant" -}}
{{- $at := . -}}
{{- $root := .root -}}
{{- $own := printf "%s-%s" (include "immune.fullname" $root) .name -}}
{{- $far := printf "%s-%s" $root.Release.Namespace $own -}}
{{- range $namespace := ternary (list "") .namespaces (not (empty .cluster)) }}
{{- $is := ternary "ClusterRole" "Role" (not (empty $at.cluster)) }}
{{- /* Two releases may share a namespace that is neither's. */}}
{{- $meta := dict "root" $root "role" ($at.component | default $at.name) "name" (ternary $own $far (eq $namespace $root.Release.Namespace)) "cluster" $at.cluster "namespace" $namespace "annotations" $at.annotations }}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: {{ $is }}
metadata: {{- include "immune.meta" $meta | nindent 2 }}
rules: {{- $at.rules | nindent 2 }}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: {{ $is }}Binding
metadata: {{- include "immune.meta" $meta | nindent 2 }}
roleRef: { apiGroup: rbac.authorization.k8s.io, kind: {{ $is }}, name: {{ $meta.name }} }
subjects:
  {{- range $at.roles }}
  - { kind: ServiceAccount, name: {{ include "immune.fullname" $root }}-{{ . }}, namespace: {{ $root.Release.Namespace }} }
  {{- end }}
{{- end }}
{{- end }}
{{- /* Namespaces whose workloads may be touched, as a list; none where all may be, or none. */ -}}
{{- define "immune.leverNamespaces" -}}
{{- $k := .Values.levers.kubernetes -}}
{{- if or (not $k.enabled) $k.allNamespaces }}[]{{ else }}{{ default (list .Release.Namespace) $k.namespaces | toJson }}{{ end }}
{{- end }}
{{- define "immune.resourcesEverywhere" -}}
{{- $k := .Values.levers.kubernetes -}}
{{- if or .Values.resources.allNamespaces (and $k.enabled $k.allNamespaces (not .Values.resources.namespaces)) }}yes{{ end }}
{{- end }}
{{- /* Namespaces in which resources count: the release's own first. */ -}}
{{- define "immune.resourceNamespaces" -}}
{{- $more := default (include "immune.leverNamespaces" . | fromJsonArray) .Values.resources.namespaces -}}
{{- if include "immune.resourcesEverywhere" . }}{{ $more = list }}{{ end -}}
{{- prepend (without $more .Release.Namespace | uniq) .Release.Namespace | toJson -}}
{{- end }}
{{- define "immune.policies" -}}{{ if and .Values.resources.enabled .Values.resources.policies }}yes{{ end }}{{- end }}
{{- define "immune.cases" -}}{{ if and .Values.resources.enabled .Values.resources.cases.enabled }}yes{{ end }}{{- end }}
{{- define "immune.webhook" -}}{{ if and (include "immune.cases" .) .Values.resources.webhook.enabled }}yes{{ end }}{{- end }}
{{- /* Whether a role talks to the API server, and so needs a token. */ -}}
{{- define "immune.talks" -}}
{{- $acts := has .role (list "quarantine" "healer" "all") -}}
{{- $shows := has .role (list "quarantine" "all") -}}
{{- if or (include "immune.policies" .root) (and $acts .root.Values.levers.kubernetes.enabled) (and $shows (include "immune.cases" .root)) }}yes{{ end }}
{{- end }}
{{- /* Of the lever's rules, those that its values ask for. */ -}}
{{- define "immune.leverFiles" -}}
{{- $k := .Values.levers.kubernetes -}}
{{- $files := list -}}
{{- range $file, $asked := dict "levers-cilium" $k.cilium "levers-sandbox" $k.sandboxes "levers-kagent" $k.kagent }}{{ if $asked }}{{ $files = append $files $file }}{{ end }}{{ end -}}
{{- toJson (sortAlpha $files) -}}
{{- end }}
