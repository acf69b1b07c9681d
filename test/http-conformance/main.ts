import { execFile } from 'node:child_process'
import { existsSync } from 'node:fs'
import { readFile, rm } from 'node:fs/promises'
import { homedir, tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { Environment } from '../faults/environment/environment.ts'
import type { Replica } from '../faults/environment/replica.ts'

/**
 * http-conformance/ has all listeners examined by programs that others wrote: REDbot (RFC 9110, 9111, 9112, and the headers
 * of other RFCs) reads a resource of each kind over HTTP/1.1, h2spec (RFC 9113, 7541) examines the gRPC listener.
 *
 *   bash scripts/install-http-conformance.sh
 *   npm run http-conformance
 *
 * What they find is counted as failed, unless it is below with its reason. Ends with "N passed, N failed".
 */
const cache = process.env.MINTMARK_CACHE ?? join(homedir(), '.cache', 'mintmark')
const REDBOT = join(cache, 'python/bin/redbot')
const H2SPEC = join(cache, 'bin/h2spec')
const run = promisify(execFile)

/** Findings of REDbot that stay, by its name for them. */
const REASONS: Readonly<Record<string, string>> = {
  FIELD_DEPRECATED:
    'Node sends Keep-Alive: its timeout keeps clients from reusing a connection that is about to close',
  STORE_PUBLIC_UNNECESSARY:
    'Cache-Control: public lets shared caches store an answer to a request with Authorization',
  IMS_FULL:
    'Two sets of keys may share a second: only the entity tag is compared, and no client keeps a revoked key',
  REQUEST_HDR_IN_RESPONSE: 'RFC 6749 §5.1 requires Pragma: no-cache in answers that may have a token',
}
const NO_BODY = 'A gRPC error is one HEADERS frame: there is no DATA frame to wait for'
const IGNORED = 'nghttp2, below Node, ignores frames of a stream that is closed already'
const NO_PRIORITIES = 'RFC 9113 §5.3.2 deprecates priorities: nghttp2, below Node, does not read these frames'
const CLOSED = 'Node closes the whole connection, which is stricter'
/** Findings of h2spec that stay, by their section and title. */
const H2_REASONS: Readonly<Record<string, string>> = {
  'generic/2 Sends a WINDOW_UPDATE frame on half-closed (remote) stream': NO_BODY,
  'generic/2 Sends a PRIORITY frame on half-closed (remote) stream': NO_BODY,
  'http2/5.1 closed: Sends a DATA frame after sending RST_STREAM frame': IGNORED,
  'http2/5.1 closed: Sends a HEADERS frame after sending RST_STREAM frame': IGNORED,
  'http2/5.1 closed: Sends a DATA frame': IGNORED,
  'http2/5.1 closed: Sends a HEADERS frame': IGNORED,
  'http2/5.1.1 Sends stream identifier that is numerically smaller than previous': IGNORED,
  'http2/5.1.2 Sends HEADERS frames that causes their advertised concurrent stream limit to be exceeded':
    'Streams that are answered at once are not concurrent',
  'http2/5.3.1 Sends PRIORITY frame that depend on itself': NO_PRIORITIES,
  'http2/6.3 Sends a PRIORITY frame with 0x0 stream identifier': NO_PRIORITIES,
  'http2/6.7 Sends a PING frame with ACK': CLOSED,
  'http2/6.9.1 Sends multiple WINDOW_UPDATE frames increasing the flow control window to above 2^31-1 on a stream':
    CLOSED,
}

let passed = 0
let failed = 0
const environment = new Environment({ full: false })
try {
  const postgres = await environment.postgres()
  const replica = await environment.replica(postgres.applicationUrl())
  for (const url of await resources(replica)) await readByRedbot(url)
  await examineByH2spec(Number(new URL(replica.urls.gatewayGrpc).port))
} finally {
  await environment.close()
}
console.log(`${passed} passed, ${failed} failed`)
process.exit(failed > 0 ? 1 : 0)

/** One of each kind, of each listener. */
async function resources({ urls, get }: Replica): Promise<string[]> {
  const { body } = await get(`${urls.public}/.well-known/jwks.json`)
  const paths: [base: string, paths: readonly string[]][] = [
    [
      urls.public,
      [
        '/.well-known/jwks.json',
        `/.well-known/jwks/${body.keys[0].kid}.pem`,
        '/.well-known/openid-configuration',
        '/.well-known/oauth-authorization-server',
        '/oauth/token',
        '/nothing',
      ],
    ],
    [urls.admin, ['/', '/admin/openapi.json', '/admin/reference', '/admin/v1/tenants', '/nothing']],
    [urls.gateway, ['/check', '/v1/models', '/nothing']],
    [urls.ops, ['/livez', '/readyz', '/metrics', '/nothing']],
  ]
  return paths.flatMap(([base, each]) => each.map(path => `${base}${path}`))
}

interface Note {
  note_id: string
  level: string
  summary: string
}

async function readByRedbot(url: string): Promise<void> {
  const { stdout } = await run(REDBOT, ['-o', 'har', url], { maxBuffer: 64 * 1024 * 1024 })
  const { log } = JSON.parse(stdout) as { log: { entries: { _red_messages: Note[] }[] } }
  const notes = log.entries.flatMap(entry => entry._red_messages)
  if (notes.length === 0) throw new Error(`REDbot said nothing of ${url}`)
  for (const { note_id, level, summary } of notes) {
    if (level !== 'BAD' && level !== 'WARN') passed++
    else report(REASONS[note_id], `${level} ${note_id} ${summary}`, url)
  }
}

async function examineByH2spec(port: number): Promise<void> {
  if (!existsSync(H2SPEC)) return console.log('skipped: h2spec is not installed')
  const results = join(tmpdir(), `h2spec-${process.pid}.xml`)
  // It ends with 1 when it found something.
  await run(H2SPEC, ['-h', '127.0.0.1', '-p', `${port}`, '-o', '5', '-j', results]).catch(() => {})
  const text = await readFile(results, 'utf8')
  await rm(results)
  for (const [, section = '', title = '', rest = ''] of text.matchAll(
    /<testcase package="([^"]*)" classname="([^"]*)"[^>]*?(?:\/>|>([\s\S]*?)<\/testcase>)/g,
  )) {
    if (!/<(failure|error)/.test(rest)) passed++
    else
      report(
        H2_REASONS[`${section} ${title}`],
        `${section} ${title}`,
        rest.replaceAll(/<[^>]*>|\s+/g, ' ').trim(),
      )
  }
}

function report(reason: string | undefined, finding: string, where: string): void {
  if (reason === undefined) failed++
  else passed++
  console.log(
    `${reason === undefined ? 'failed' : 'stays'}: ${finding}\n  ${where}${reason ? `\n  ${reason}` : ''}`,
  )
}
