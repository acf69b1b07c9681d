{{/* JSON: the routes whose body names a model, of the groups in "routes". From src/gateway/headers.ts. */}}
{{- define "mintmark.modelRoutes" -}}
{{- $open := list }}
{{- range fromJsonArray `[{"path":"/v1/chat/completions","group":"openai","priorityFromHeader":true},{"path":"/v1/completions","group":"openai","priorityFromHeader":true},{"path":"/v1/responses","group":"openai","priorityFromHeader":true},{"path":"/v1/embeddings","group":"openai","priorityFromHeader":false},{"path":"/v1/messages","group":"anthropic","priorityFromHeader":true},{"path":"/v1/messages/count_tokens","group":"anthropic","priorityFromHeader":true},{"path":"/rerank","group":"pooling","priorityFromHeader":false},{"path":"/v1/rerank","group":"pooling","priorityFromHeader":false},{"path":"/v2/rerank","group":"pooling","priorityFromHeader":false},{"path":"/score","group":"pooling","priorityFromHeader":false},{"path":"/v1/score","group":"pooling","priorityFromHeader":false},{"path":"/pooling","group":"pooling","priorityFromHeader":false},{"path":"/classify","group":"pooling","priorityFromHeader":false},{"path":"/v2/embed","group":"pooling","priorityFromHeader":false},{"path":"/tokenize","group":"tokenize","priorityFromHeader":false},{"path":"/detokenize","group":"tokenize","priorityFromHeader":false}]` }}
{{- if has .group $.Values.routes }}
{{- $open = append $open . }}
{{- end }}
{{- end }}
{{- toJson $open }}
{{- end }}

{{/* JSON: their paths. */}}
{{- define "mintmark.modelPaths" -}}
{{- $paths := list }}
{{- range include "mintmark.modelRoutes" . | fromJsonArray }}
{{- $paths = append $paths .path }}
{{- end }}
{{- toJson $paths }}
{{- end }}
