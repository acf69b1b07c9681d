import type { Values } from '../template.ts'

/** HAProxy answers itself, or not: what it forwards is not in its log. */
export const WITHOUT_USAGE: Values = {
  usageScript: [],
  usageLog: [],
  usageFields: '',
  usageClaims: [],
  usageRing: [],
  logged: 'format raw daemon',
  forwarded: 'http-response set-log-level silent if { srv_id -m found }',
}

const LOGGED: Readonly<Record<string, string>> = {
  began: '%[var(txn.began)]',
  flags: '%ts',
  'mintmark.request.id': '%ID',
  'mintmark.tenant': '%[var(txn.usage_tenant)]',
  'mintmark.key': '%[var(txn.sub)]',
  'mintmark.audience': '%[var(txn.usage_audience)]',
  'http.response.status_code': '%ST',
  'http.request.body.size': '%[var(txn.usage_size)]',
  'http.response.body.size': '%B',
  'gen_ai.request.model': '%[var(txn.model)]',
  'gen_ai.usage.input_tokens': '%[var(txn.usage_input)]',
  'gen_ai.usage.output_tokens': '%[var(txn.usage_output)]',
  'mintmark.usage.cached_input_tokens': '%[var(txn.usage_cached)]',
  'mintmark.usage.output_events': '%[var(txn.usage_events)]',
}

/** Of each request one line: those that HAProxy answers itself on stdout too, as without usage. */
export const WITH_USAGE: Values = {
  usageScript: ['lua-load-per-thread /etc/haproxy/mintmark/usage.lua'],
  usageLog: [
    '# Usage, a line for each request, which a Collector receives: docs/guides/usage.md.',
    'log ring@usage len 4096 format raw daemon',
    'filter lua.mintmark_usage',
    'unique-id-format %[uuid()]',
    'http-request set-var(txn.began) date(0,ms)',
    'http-request set-log-level notice',
    '# The tokens of a compressed answer could not be read.',
    'http-request del-header accept-encoding',
  ],
  usageFields: Object.entries(LOGGED)
    .map(([name, format]) => `,"${name}":"${format}"`)
    .join(''),
  usageClaims: [
    'http-request set-var(txn.usage_size) req.hdr_val(content-length)',
    "http-request set-var(txn.usage_tenant) var(txn.token),jwt_payload_query('$.tenant')",
    "http-request set-var(txn.usage_audience) var(txn.token),jwt_payload_query('$.aud')",
  ],
  usageRing: [
    '',
    '# What the Collector does not take is kept here, up to this size; then the oldest lines are lost.',
    'ring usage',
    '  format raw',
    '  maxlen 4096',
    '  size 67108864',
    '  timeout connect 5s',
    '  timeout server 10s',
    '  server collector collector:5140 log-proto legacy',
  ],
  logged: 'len 4096 format raw daemon notice',
  forwarded: 'http-response set-log-level info if { srv_id -m found }',
}
