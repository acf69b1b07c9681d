{{- define "mintmark.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 50 | trimSuffix "-" }}
{{- end }}

{{- define "mintmark.fullname" -}}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride | trunc 50 | trimSuffix "-" }}
{{- else if contains (include "mintmark.name" .) .Release.Name }}
{{- .Release.Name | trunc 50 | trimSuffix "-" }}
{{- else }}
{{- printf "%s-%s" .Release.Name (include "mintmark.name" .) | trunc 50 | trimSuffix "-" }}
{{- end }}
{{- end }}

{{- define "mintmark.selector" -}}
app.kubernetes.io/name: {{ include "mintmark.name" . }}
app.kubernetes.io/instance: {{ .Release.Name | quote }}
{{- end }}

{{- define "mintmark.labels" -}}
{{ include "mintmark.selector" . }}
{{ include "mintmark.commonLabels" . }}
{{- end }}

{{- define "mintmark.commonLabels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
app.kubernetes.io/part-of: mintmark
{{- with .Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- define "mintmark.serviceAccountName" -}}
{{- if .Values.serviceAccount.create }}
{{- default (include "mintmark.fullname" .) .Values.serviceAccount.name }}
{{- else }}
{{- default "default" .Values.serviceAccount.name }}
{{- end }}
{{- end }}

{{- define "mintmark.image" -}}
{{- if .Values.image.digest -}}
{{ .Values.image.repository }}@{{ .Values.image.digest }}
{{- else -}}
{{ .Values.image.repository }}:{{ default (printf "v%s" .Chart.AppVersion) .Values.image.tag }}
{{- end }}
{{- end }}

{{- define "mintmark.secretName" -}}
{{- default (include "mintmark.fullname" .) .Values.secrets.existingSecret }}
{{- end }}

{{- define "mintmark.databaseSecretName" -}}
{{- if .Values.trialDatabase.enabled -}}
{{ include "mintmark.trialDatabase" . }}
{{- else -}}
{{ .Values.database.existingSecret }}
{{- end }}
{{- end }}

{{/* Values that a release of before did not have may be absent: helm upgrade --reuse-values. */}}
{{- define "mintmark.host" -}}
{{ default "0.0.0.0" .Values.services.host }}
{{- end }}

{{- define "mintmark.podSecurityContext" -}}
{{- $given := .Values.podSecurityContext }}
{{- if kindIs "invalid" $given }}{{ $given = dict "runAsUser" 1000 "runAsGroup" 1000 "fsGroup" 1000 }}{{ end }}
{{- $fixed := dict "runAsNonRoot" true "seccompProfile" (dict "type" "RuntimeDefault") }}
{{- toYaml (merge (deepCopy $given) $fixed) }}
{{- end }}

{{- define "mintmark.securityContext" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end }}

{{/* The environment of the service: what the chart decides, overridden by settings. */}}
{{- define "mintmark.env" -}}
{{- $env := dict
  "MINTMARK_ISSUER" .Values.issuer
  "MINTMARK_DRAIN_DELAY_SECONDS" "5"
  "MINTMARK_DRAIN_DEADLINE_SECONDS" (min 600 (sub .Values.terminationGracePeriodSeconds 2) | toString)
  "MINTMARK_PEPPERS_FILE" "/etc/mintmark/secrets/peppers"
  "MINTMARK_ENCRYPTION_KEYS_FILE" "/etc/mintmark/secrets/encryption-keys"
  "DATABASE_URL_FILE" "/etc/mintmark/database/database-url" }}
{{- if .Values.secrets.rootToken }}
{{- $_ := set $env "MINTMARK_ROOT_TOKEN_FILE" "/etc/mintmark/secrets/root-token" }}
{{- end }}
{{- if .Values.database.directUrlKey }}
{{- $_ := set $env "DATABASE_URL_DIRECT_FILE" "/etc/mintmark/database/direct-database-url" }}
{{- end }}
{{- if .Values.snapshots.enabled }}
{{- $_ := set $env "MINTMARK_SNAPSHOT_DIR" "/var/lib/mintmark/snapshots" }}
{{- end }}
{{- $host := include "mintmark.host" . }}
{{- if ne $host "0.0.0.0" }}
{{- $_ := set $env "MINTMARK_HOST" $host }}
{{- end }}
{{- if .Values.services.admin }}
{{- $_ := set $env "MINTMARK_ADMIN_HOST" $host }}
{{- end }}
{{- if .Values.services.usage }}
{{- $_ := set $env "MINTMARK_OTLP_HOST" $host }}
{{- $_ := set $env "MINTMARK_OTLP_HTTP_PORT" "8085" }}
{{- $_ := set $env "MINTMARK_OTLP_GRPC_PORT" "8087" }}
{{- end }}
{{- if .Values.xds.enabled }}
{{- $_ := set $env "MINTMARK_XDS_HOST" $host }}
{{- if .Values.xds.tokensSecret }}
{{- $_ := set $env "MINTMARK_XDS_TOKENS_FILE" "/etc/mintmark/xds/tokens/tokens" }}
{{- end }}
{{- if .Values.xds.tlsSecret }}
{{- $_ := set $env "MINTMARK_XDS_TLS_CERTIFICATE_FILE" "/etc/mintmark/xds/tls/tls.crt" }}
{{- $_ := set $env "MINTMARK_XDS_TLS_KEY_FILE" "/etc/mintmark/xds/tls/tls.key" }}
{{- if .Values.xds.clientCertificates }}
{{- $_ := set $env "MINTMARK_XDS_CLIENT_CA_FILE" "/etc/mintmark/xds/tls/ca.crt" }}
{{- end }}
{{- end }}
{{- end }}
{{- if not .Values.services.gateway }}
{{- $_ := set $env "MINTMARK_GATEWAY_HOST" "127.0.0.1" }}
{{- end }}
{{- with .Values.traces.endpoint }}
{{- $_ := set $env "OTEL_EXPORTER_OTLP_ENDPOINT" . }}
{{- end }}
{{- if .Values.traces.headersSecret }}
{{- $_ := set $env "OTEL_EXPORTER_OTLP_HEADERS_FILE" "/etc/mintmark/traces/headers" }}
{{- end }}
{{- range $name, $value := .Values.settings }}
{{- $_ := set $env $name (kindIs "float64" $value | ternary (printf "%.0f" (toString $value | float64)) (toString $value)) }}
{{- end }}
{{- range $name := keys $env | sortAlpha }}
- name: {{ $name }}
  value: {{ get $env $name | quote }}
{{- end }}
{{- with .Values.extraEnv }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{/* Where the pods may run: of the service, of sync and of the migration. */}}
{{- define "mintmark.placement" -}}
{{- with .Values.priorityClassName }}
priorityClassName: {{ . | quote }}
{{- end }}
{{- with .Values.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{/* The trial database. The pods of a StatefulSet have its name and a hash in a label, so it is shorter than other names. */}}
{{- define "mintmark.trialDatabase" -}}
{{ include "mintmark.fullname" . | trunc 37 | trimSuffix "-" }}-trial-database
{{- end }}

{{/* Name of the port of the xDS listener: Istio and meshes read the protocol from it. */}}
{{- define "mintmark.xdsPort" -}}
{{ if .Values.xds.tlsSecret }}tls-xds{{ else }}grpc-xds{{ end }}
{{- end }}

{{/* The pods of the gateway that Istio's policies apply to. */}}
{{- define "mintmark.istioTarget" -}}
{{- if .Values.istio.targetRefs -}}
targetRefs:
  {{- toYaml .Values.istio.targetRefs | nindent 2 }}
{{- else -}}
selector:
  matchLabels: {{ toJson .Values.istio.selector }}
{{- end }}
{{- end }}

{{/* The same for an EnvoyFilter. */}}
{{- define "mintmark.istioWorkloads" -}}
{{- if .Values.istio.targetRefs -}}
{{ include "mintmark.istioTarget" . }}
{{- else -}}
workloadSelector:
  labels: {{ toJson .Values.istio.selector }}
{{- end }}
{{- end }}

{{/* JSON: what the static policy names, each with the claim that must contain it. */}}
{{- define "mintmark.staticNames" -}}
{{- $names := list }}
{{- range .Values.istio.static.models }}{{ $names = append $names (dict "claim" "models" "name" .) }}{{ end }}
{{- range .Values.istio.static.adapters }}{{ $names = append $names (dict "claim" "adapters" "name" .) }}{{ end }}
{{- toJson $names }}
{{- end }}

{{- define "mintmark.gatewayNamespace" -}}
{{ default .Release.Namespace .Values.envoyGateway.namespace }}
{{- end }}

{{- define "mintmark.engineNamespace" -}}
{{ default (include "mintmark.gatewayNamespace" .) .Values.envoyGateway.engine.namespace }}
{{- end }}

{{/* 256 random bits as base64url without padding. */}}
{{- define "mintmark.random" -}}
{{- randBytes 32 | replace "+" "-" | replace "/" "_" | trimSuffix "=" }}
{{- end }}

{{/* The Lua pattern of imported keys, or nil. */}}
{{- define "mintmark.importedKeys" -}}
{{- if .Values.istio.importedKeys }}{{ printf "\"%s\"" .Values.istio.importedKeys }}{{ else }}nil{{ end }}
{{- end }}
