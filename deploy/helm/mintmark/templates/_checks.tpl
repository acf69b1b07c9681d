{{/* What values.schema.json cannot say in words: values that need others. */}}
{{- define "mintmark.checks" -}}
{{- $v := .Values }}
{{- range $value := list "commonLabels" "podLabels" }}
{{- range $label := keys (get $v $value | default dict) }}
{{- if has $label (list "app.kubernetes.io/name" "app.kubernetes.io/instance" "app.kubernetes.io/version" "app.kubernetes.io/managed-by" "app.kubernetes.io/part-of" "helm.sh/chart") }}
{{- fail (printf "%s must not have %s: it is a label that the chart sets, and some of them select its pods. Remove it." $value $label) }}
{{- end }}
{{- if and (eq $value "podLabels") (hasKey ($v.commonLabels | default dict) $label) }}
{{- fail (printf "podLabels and commonLabels both have %s. Remove one: pods have the common labels too." $label) }}
{{- end }}
{{- end }}
{{- end }}
{{- range $v.extraEnv }}
{{- if regexMatch "^(MINTMARK_|DATABASE_|MIGRATE_DATABASE_|OTEL_EXPORTER_OTLP_(ENDPOINT|HEADERS)(_FILE)?$)" .name }}
{{- fail (printf "extraEnv must not have %s: the chart sets Mintmark's own variables from settings and the values of their topic." .name) }}
{{- end }}
{{- end }}
{{- if and $v.secrets.generate $v.secrets.existingSecret }}
{{- fail "secrets.generate and secrets.existingSecret exclude each other. Remove one." }}
{{- end }}
{{- if and $v.trialDatabase.enabled $v.database.existingSecret }}
{{- fail "trialDatabase.enabled and database.existingSecret exclude each other. Remove one." }}
{{- end }}
{{- if and $v.autoscaling.enabled (gt (int $v.autoscaling.minReplicas) (int $v.autoscaling.maxReplicas)) }}
{{- fail "autoscaling.minReplicas is larger than autoscaling.maxReplicas." }}
{{- end }}
{{- if $v.xds.enabled }}
{{- if not (or $v.xds.tokensSecret $v.xds.clientCertificates) }}
{{- fail "xds.enabled needs xds.tokensSecret, or xds.tlsSecret with xds.clientCertificates: gateways must show a credential." }}
{{- end }}
{{- if and $v.xds.clientCertificates (not $v.xds.tlsSecret) }}
{{- fail "xds.clientCertificates needs xds.tlsSecret, with the keys tls.crt, tls.key and ca.crt." }}
{{- end }}
{{- end }}
{{- if $v.istio.enabled }}
{{- if eq $v.istio.mode "apiKeys" }}
{{- if not $v.services.gateway }}{{ fail "istio.mode: apiKeys needs services.gateway: true, because Mintmark checks the keys." }}{{ end }}
{{- if not $v.istio.engine.host }}{{ fail "istio.mode: apiKeys needs istio.engine.host: the chart creates the VirtualService to the engine." }}{{ end }}
{{- end }}
{{- if and (eq $v.istio.mode "static") (not (or $v.istio.static.models $v.istio.static.adapters)) }}
{{- fail "istio.mode: static needs names in istio.static.models or istio.static.adapters: what has no name there is rejected." }}
{{- end }}
{{- if $v.istio.sync.revocations.enabled }}
{{- if not $v.istio.sync.enabled }}{{ fail "istio.sync.revocations.enabled needs istio.sync.enabled: sync keeps the list." }}{{ end }}
{{- if not $v.xds.enabled }}{{ fail "istio.sync.revocations.enabled needs xds.enabled: sync reads the list from that listener." }}{{ end }}
{{- if not $v.istio.sync.revocations.tokenSecret }}
{{- fail "istio.sync.revocations.enabled needs istio.sync.revocations.tokenSecret: a Secret with the key xds-token." }}
{{- end }}
{{- end }}
{{- if and $v.istio.limits.enabled (not $v.istio.limits.service) }}
{{- fail "istio.limits.enabled needs istio.limits.service: the host of your rate limit service." }}
{{- end }}
{{- end }}
{{- if and $v.envoyGateway.enabled (not $v.services.gateway) }}
{{- fail "envoyGateway.enabled needs services.gateway: true, because Mintmark checks API keys and lists their models." }}
{{- end }}
{{- end }}
