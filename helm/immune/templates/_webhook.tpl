{{- define "immune.webhookName" -}}{{ include "immune.fullname" . }}-webhook{{- end }}
{{- define "immune.webhookSecret" -}}{{ .Values.resources.webhook.existingSecret | default (printf "%s-tls" (include "immune.webhookName" .)) }}{{- end }}
{{- define "immune.webhookNames" -}}
{{- $n := include "immune.webhookName" . -}}
{{- $ns := .Release.Namespace -}}
{{- list (printf "%s.%s.svc" $n $ns) (printf "%s.%s" $n $ns) (printf "%s.%s.svc.cluster.local" $n $ns) | toJson -}}
{{- end }}
{{- /* Asks us about every change of an AgentCase; `ca` signed our certificate, or `annotations` say who knows. */ -}}
{{- define "immune.admission" -}}
{{- $root := .root -}}
{{- $everywhere := include "immune.resourcesEverywhere" $root -}}
---
apiVersion: admissionregistration.k8s.io/v1
kind: MutatingWebhookConfiguration
metadata: {{- include "immune.meta" (dict "root" $root "role" (ternary "all" "quarantine" (eq $root.Values.mode "allInOne")) "name" (printf "%s-%s" $root.Release.Namespace (include "immune.webhookName" $root)) "cluster" true "annotations" .annotations) | nindent 2 }}
webhooks:
  - name: agentcases.immune.io
    clientConfig:
      service: { name: {{ include "immune.webhookName" $root }}, namespace: {{ $root.Release.Namespace }}, path: /admission/agentcases, port: 9443 }
      {{- with .ca }}
      caBundle: {{ b64enc . }}
      {{- end }}
    rules:
      - { apiGroups: [immune.io], apiVersions: [v1alpha1], resources: [agentcases], operations: [CREATE, UPDATE], scope: Namespaced }
    {{- if not $everywhere }}
    namespaceSelector:
      matchExpressions:
        - { key: kubernetes.io/metadata.name, operator: In, values: {{ include "immune.resourceNamespaces" $root }} }
    {{- end }}
    # Unasked, anyone who may annotate could decide in another's name.
    failurePolicy: Fail
    matchPolicy: Equivalent
    sideEffects: None
    timeoutSeconds: {{ $root.Values.resources.webhook.timeoutSeconds }}
    admissionReviewVersions: [v1]
{{- end }}
