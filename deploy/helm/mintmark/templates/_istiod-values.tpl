{{- define "mintmark.istiodValues" -}}
meshConfig:
  extensionProviders:
    - name: {{ include "mintmark.fullname" $ }}-api-keys
      envoyExtAuthzHttp:
        service: {{ include "mintmark.fullname" $ }}-gateway.{{ $.Release.Namespace }}.svc.cluster.local
        port: 8082
        pathPrefix: /check
        timeout: 5s # Istio's default is ten minutes.
        failOpen: false
        statusOnError: "503"
        # Authorization is always sent.
        includeRequestHeadersInCheck: [x-api-key, api-key, x-forwarded-for, x-request-id]
        # Only the token: the headers are set from it once it has been verified.
        headersToUpstreamOnAllow: [authorization]
        headersToDownstreamOnDeny: [content-type, www-authenticate, retry-after]
{{- end }}
