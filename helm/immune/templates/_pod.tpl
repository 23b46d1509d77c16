{{- /* The pod of a role, or of all of them. */ -}}
{{- define "immune.pod" -}}
{{- $root := .root -}}
{{- $role := .role -}}
{{- $name := include "immune.fullname" $root -}}
{{- $all := eq $role "all" -}}
{{- $v := merge (dict) (.values | default dict) $root.Values.pod -}}
metadata:
  labels:
    {{- include "immune.labels" (dict "root" $root "role" $role) | nindent 4 }}
    {{- with $v.podLabels }}{{ toYaml . | nindent 4 }}{{ end }}
  annotations:
    checksum/config: {{ include (print $root.Template.BasePath "/configmap.yaml") $root | sha256sum }}
    {{- with $v.podAnnotations }}{{ toYaml . | nindent 4 }}{{ end }}
spec:
  serviceAccountName: {{ $name }}-{{ $role }}
  automountServiceAccountToken: {{ not (empty (include "immune.talks" .)) }}
  # Their variables begin with IMMUNE_ where the release is called so, and would be taken for settings.
  enableServiceLinks: false
  terminationGracePeriodSeconds: {{ $v.terminationGracePeriodSeconds }}
  {{- with $root.Values.image.pullSecrets }}
  imagePullSecrets: {{- range . }}{{ dict "name" . | list | toYaml | nindent 4 }}{{ end }}
  {{- end }}
  securityContext: {{- include "immune.podSecurity" $root | nindent 4 }}
  {{- with include "immune.placement" $v | trim }}{{ . | nindent 2 }}{{ end }}
  topologySpreadConstraints:
    {{- with $v.topologySpreadConstraints }}{{ toYaml . | nindent 4 }}{{ else }}
    - maxSkew: 1
      topologyKey: kubernetes.io/hostname
      whenUnsatisfiable: ScheduleAnyway
      labelSelector: { matchLabels: {{ include "immune.selector" (dict "root" $root "role" $role) | fromYaml | toJson }} }
    {{- end }}
  {{- if not $all }}
  initContainers:
    # Every process refuses an older schema. Any number of these may run at once, and again.
    - name: migrate
      image: {{ include "immune.image" $root }}
      imagePullPolicy: {{ $root.Values.image.pullPolicy }}
      args: [migrate]
      env:
        {{- include "immune.databaseEnv" $root | nindent 8 }}
        {{- with $v.extraEnv }}{{ toYaml . | nindent 8 }}{{ end }}
      {{- with $v.extraEnvFrom }}
      envFrom: {{- toYaml . | nindent 8 }}
      {{- end }}
      securityContext: {{- include "immune.containerSecurity" $root | nindent 8 }}
      resources: {{- toYaml $v.resources | nindent 8 }}
      {{- with $v.extraVolumeMounts }}
      volumeMounts: {{- toYaml . | nindent 8 }}
      {{- end }}
  {{- end }}
  containers:
    - name: immune
      image: {{ include "immune.image" $root }}
      imagePullPolicy: {{ $root.Values.image.pullPolicy }}
      args: [serve, --config, /etc/immune/immune.yaml{{ if not $all }}, --role, {{ $role }}{{ end }}]
      env:
        - { name: POD_NAME, valueFrom: { fieldRef: { fieldPath: metadata.name } } }
        - { name: POD_NAMESPACE, valueFrom: { fieldRef: { fieldPath: metadata.namespace } } }
        {{- with $v.extraEnv }}{{ toYaml . | nindent 8 }}{{ end }}
      {{- with $v.extraEnvFrom }}
      envFrom: {{- toYaml . | nindent 8 }}
      {{- end }}
      ports:
        - { name: metrics, containerPort: 9464, protocol: TCP }
        {{- if not $all }}
        - { name: grpc, containerPort: {{ index (include "immune.ports" $root | fromJson) $role }}, protocol: TCP }
        {{- end }}
        {{- if has $role (list "ingestion" "all") }}
        - { name: otlp, containerPort: 4317, protocol: TCP }
        - { name: otlp-http, containerPort: 4318, protocol: TCP }
        {{- end }}
        {{- if has $role (list "dashboard" "all") }}
        - { name: http, containerPort: 8090, protocol: TCP }
        {{- end }}
        {{- if and $root.Values.gate.enabled (has $role (list "quarantine" "all")) }}
        - { name: authz, containerPort: 9001, protocol: TCP }
        {{- end }}
        {{- if and (include "immune.webhook" $root) (has $role (list "quarantine" "all")) }}
        - { name: webhook, containerPort: 9443, protocol: TCP }
        {{- end }}
      # It waits for its database as long as that takes; liveness asks nobody else.
      startupProbe: { httpGet: { path: /livez, port: metrics }, periodSeconds: 2, failureThreshold: 60 }
      livenessProbe: { httpGet: { path: /livez, port: metrics }, periodSeconds: 10, failureThreshold: 3, timeoutSeconds: 3 }
      readinessProbe: { httpGet: { path: /readyz, port: metrics }, periodSeconds: 5, failureThreshold: 2, timeoutSeconds: 3 }
      securityContext: {{- include "immune.containerSecurity" $root | nindent 8 }}
      resources: {{- toYaml $v.resources | nindent 8 }}
      volumeMounts:
        {{- include "immune.mounts" (dict "root" $root "role" $role) | nindent 8 }}
        {{- with $v.extraVolumeMounts }}{{ toYaml . | nindent 8 }}{{ end }}
    {{- with $v.extraContainers }}{{ toYaml . | nindent 4 }}{{ end }}
  volumes:
    - name: config
      configMap: { name: {{ $name }} }
    - name: keys
      projected:
        sources:
          - secret: { name: {{ $root.Values.access.adminKey.existingSecret | default (printf "%s-keys" $name) }}, items: [{ key: {{ ternary $root.Values.access.adminKey.existingSecretKey "admin" (not (empty $root.Values.access.adminKey.existingSecret)) }}, path: admin }] }
          - secret: { name: {{ $root.Values.access.ingestKey.existingSecret | default (printf "%s-keys" $name) }}, items: [{ key: {{ ternary $root.Values.access.ingestKey.existingSecretKey "ingest" (not (empty $root.Values.access.ingestKey.existingSecret)) }}, path: ingest }] }
    {{- if $all }}
    - name: data
      {{- if $root.Values.allInOne.persistence.enabled }}
      persistentVolumeClaim: { claimName: {{ $root.Values.allInOne.persistence.existingClaim | default (printf "%s-data" $name) }} }
      {{- else }}
      emptyDir: {}
      {{- end }}
    {{- else }}
    - name: data
      emptyDir: {}
    - name: tls
      secret: { secretName: {{ if eq $root.Values.tls.source "secrets" }}{{ required (printf "tls.source: secrets needs tls.existingSecrets.%s" $role) (index $root.Values.tls.existingSecrets $role) }}{{ else }}{{ $name }}-{{ $role }}-tls{{ end }} }
    - name: database
      secret: { secretName: {{ include "immune.databaseSecret" $root }}, items: [{ key: {{ include "immune.databaseKey" $root }}, path: url }] }
    {{- end }}
    {{- if or $root.Values.redis.url $root.Values.redis.existingSecret }}
    - name: redis
      secret: { secretName: {{ $root.Values.redis.existingSecret | default (printf "%s-redis" $name) }}, items: [{ key: {{ ternary $root.Values.redis.existingSecretKey "url" (not (empty $root.Values.redis.existingSecret)) }}, path: url }] }
    {{- end }}
    {{- if $root.Values.influx.existingSecret }}
    - name: influx
      secret: { secretName: {{ $root.Values.influx.existingSecret }}, items: [{ key: {{ $root.Values.influx.existingSecretKey }}, path: token }] }
    {{- end }}
    {{- if $root.Values.access.oidcSecret.existingSecret }}
    - name: oidc
      secret: { secretName: {{ $root.Values.access.oidcSecret.existingSecret }}, items: [{ key: {{ $root.Values.access.oidcSecret.existingSecretKey }}, path: secret }] }
    {{- end }}
    {{- if and (include "immune.webhook" $root) (has $role (list "quarantine" "all")) }}
    - name: webhook
      secret: { secretName: {{ include "immune.webhookSecret" $root }}, items: [{ key: tls.crt, path: tls.crt }, { key: tls.key, path: tls.key }] }
    - name: seal
      secret: { secretName: {{ $root.Values.resources.webhook.sealKey.existingSecret | default (printf "%s-seal" $name) }}, items: [{ key: {{ ternary $root.Values.resources.webhook.sealKey.existingSecretKey "key" (not (empty $root.Values.resources.webhook.sealKey.existingSecret)) }}, path: key }] }
    {{- end }}
    {{- range $root.Values.secretFiles }}
    - name: secret-{{ .name }}
      secret: { secretName: {{ .existingSecret }} }
    {{- end }}
    {{- with $v.extraVolumes }}{{ toYaml . | nindent 4 }}{{ end }}
{{- end }}
{{- define "immune.mounts" -}}
- { name: config, mountPath: /etc/immune/immune.yaml, subPath: immune.yaml, readOnly: true }
- { name: keys, mountPath: /etc/immune/keys, readOnly: true }
- { name: data, mountPath: /var/lib/immune }
{{- if ne .role "all" }}
- { name: tls, mountPath: /etc/immune/tls, readOnly: true }
- { name: database, mountPath: /etc/immune/database, readOnly: true }
{{- end }}
{{- if or .root.Values.redis.url .root.Values.redis.existingSecret }}
- { name: redis, mountPath: /etc/immune/redis, readOnly: true }
{{- end }}
{{- if .root.Values.influx.existingSecret }}
- { name: influx, mountPath: /etc/immune/influx, readOnly: true }
{{- end }}
{{- if .root.Values.access.oidcSecret.existingSecret }}
- { name: oidc, mountPath: /etc/immune/oidc, readOnly: true }
{{- end }}
{{- if and (include "immune.webhook" .root) (has .role (list "quarantine" "all")) }}
- { name: webhook, mountPath: /etc/immune/webhook, readOnly: true }
- { name: seal, mountPath: /etc/immune/seal, readOnly: true }
{{- end }}
{{- range .root.Values.secretFiles }}
- { name: secret-{{ .name }}, mountPath: /etc/immune/secrets/{{ .name }}, readOnly: true }
{{- end }}
{{- end }}
