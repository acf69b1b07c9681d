import type { Values } from '../template.ts'

/** HAProxy answers itself, or not: what it forwards is not in its log. */
export const WITHOUT_USAGE: Values = {
  usageScript: [],
  usageLog: [],
  usageFields: '',
  usageClaims: [],
  usageSize: [],
  usageRing: [],
  logged: 'format raw daemon',
  forwarded: 'http-response set-log-level silent if { srv_id -m found }',
}

const LOGGED: Readonly<Record<string, string>> = {
  ended: '%[date(0,ms)]',
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

/**
 * A line for each request on stdout, and for each with a verified token in the ring, too. The level of a line decides: of two logs, one has all
 * lines of the other. So what HAProxy forwards is on stdout as well.
 */
export const WITH_USAGE: Values = {
  usageScript: ['lua-load-per-thread /etc/haproxy/mintmark/usage.lua'],
  usageLog: [
    '# Usage: each request with a verified token of the scope is a line in this ring, which a Collector receives, and of the log above. Others are in the log\n# only: anyone could send so many that the ring loses lines. docs/guides/usage.md',
    'log ring@usage len 4096 format raw daemon notice',
    'filter lua.mintmark_usage',
    'unique-id-format %[uuid()]',
    '# The tokens of a compressed answer could not be read.',
    'http-request del-header accept-encoding',
  ],
  usageFields: Object.entries(LOGGED)
    .map(([name, format]) => `,"${name}":"${format}"`)
    .join(''),
  usageClaims: [
    '# The token is verified: the request is also in the ring.',
    'http-request set-log-level notice',
    "http-request set-var(txn.usage_tenant) var(txn.token),jwt_payload_query('$.tenant')",
    "http-request set-var(txn.usage_audience) var(txn.token),jwt_payload_query('$.aud')",
  ],
  // Over HTTP/2 a body may have no Content-Length.
  usageSize: ['http-request set-var(txn.usage_size) req.body_len'],
  usageRing: [
    '',
    '# What the Collector does not take is kept here, up to this size; then the oldest lines are lost.',
    'ring usage',
    '  format raw',
    '  maxlen 4096',
    '  size 67108864',
    '  timeout connect 5s',
    '  timeout server 10s',
    '  # Not on this machine: HAPROXY_LOG_ADDRESS of the Collector must be an address that HAProxy reaches (deploy/otel-collector/usage.yaml).',
    '  server collector collector:5140 log-proto legacy',
  ],
  logged: 'len 4096 format raw daemon',
  forwarded: 'http-response set-log-level silent if { srv_id -m found } { be_name mintmark }',
}
