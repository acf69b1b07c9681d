import { request } from 'node:http'
import { connect } from 'node:http2'
import { setTimeout as sleep } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import { gzipSync } from 'node:zlib'
import { Environment } from '../faults/environment/environment.ts'
import { ADMIN_HEADERS, FORM_HEADERS } from '../faults/environment/replica.ts'
import { framed } from './grpc-attacks.ts'
import { grpcCheck } from './grpc-check.ts'
import { endWithSignals, MODEL, startMintmark, TENANT } from './installation.ts'
import { FORM_BODIES, IMPORT_BODIES, JSON_BODIES, OTLP_BODIES, OTLP_JSON_BODIES } from './slow-bodies.ts'

/**
 * What Mintmark's event loop works in its longest turn for each body of slow-bodies.ts, on every route that reads such a body, one
 * after another:
 *
 *   npm run longest-turns
 *   npm run longest-turns -- --route '/check' --body escapes those with these texts in their names
 *
 * Fails when a body is accepted that asks for something, or one gets no answer. Milliseconds depend on the machine: they are printed, the most of three
 * times, and marked above 50.
 */
const TIMES = 3
const MOST_MS = 50
/** The log of the longest turns is written so often, and none below 10 ms. */
const REPORTED_EVERY_MS = 250
const MIB = 1_048_576
const PATIENCE_MS = 30_000

type Send = (body: Buffer) => Promise<number>
interface Route {
  name: string
  bytes: number
  bodies: Readonly<Record<string, (bytes: number) => string | Buffer>>
  send: Send
  /** Reports of nothing are accepted, and rehearsals of imports that are refused. */
  mayAccept?: boolean
}

const { values } = parseArgs({
  options: { route: { type: 'string', default: '' }, body: { type: 'string', default: '' } },
})

const environment = new Environment({ full: false })
endWithSignals(environment)
let failed = 0
try {
  const { routes, longestTurn } = await setUp()
  console.log(`${'route'.padEnd(34)}${'body'.padEnd(38)}${'status'.padStart(7)}${'loop work'.padStart(12)}`)
  for (const { name, bytes, bodies, send, mayAccept = false } of routes) {
    if (!name.includes(values.route)) continue
    let worst = 0
    for (const [what, bodyOf] of Object.entries(bodies)) {
      if (!what.includes(values.body)) continue
      const body = Buffer.from(bodyOf(bytes))
      longestTurn()
      const isBadStatus = (each: number) => each === 0 || (each < 300 && !mayAccept)
      const statuses: number[] = []
      for (let n = 0; n < TIMES; n++) statuses.push(await send(body))
      const status = statuses.find(isBadStatus) ?? statuses.at(-1) ?? 0
      await sleep(REPORTED_EVERY_MS)
      const { workMs } = longestTurn()
      worst = Math.max(worst, workMs)
      const isBad = isBadStatus(status)
      if (isBad) failed++
      const ms = workMs > 0 ? `${workMs.toFixed(0)} ms` : '< 10 ms'
      const mark = isBad ? '  <- FAILED' : workMs > MOST_MS ? `  <- above ${MOST_MS} ms` : ''
      console.log(
        `${name.padEnd(34)}${what.padEnd(38)}${String(status).padStart(7)}${ms.padStart(12)}${mark}`,
      )
    }
    console.log(`${name.padEnd(34)}${'all of them'.padEnd(45)}${`${worst.toFixed(0)} ms`.padStart(12)}`)
  }
} finally {
  await environment.close()
}
console.log(
  failed > 0
    ? `\n${failed} accepted or not answered`
    : '\nall were answered, and none was accepted that asks for something',
)
process.exit(failed > 0 ? 1 : 0)

async function setUp() {
  const postgres = await environment.postgres()
  const { replica, longestTurn } = await startMintmark(environment, postgres.applicationUrl(), {
    MINTMARK_GATEWAY_MODEL: 'body',
    MINTMARK_OTLP_HTTP_PORT: '0',
    MINTMARK_OTLP_GRPC_PORT: '0',
  })
  await replica.admin('PUT', `/models/${MODEL}`, {})
  await replica.change('/tenants', { id: TENANT, models: [MODEL], audiences: ['vllm'] })
  const { body: key } = await replica.change(`/tenants/${TENANT}/keys`, {})
  const { body: reporter } = await replica.change('/usage-reporters', { audiences: ['vllm'] })
  const [urls = {}] = replica.process.logged('ready') as Record<string, string>[]
  const json = { 'content-type': 'application/json' }
  const asKey = { ...json, authorization: `Bearer ${key.secret}` }
  const asReporter = { authorization: `Bearer ${reporter.secret}` }
  const post =
    (url: string | undefined, headers: Record<string, string>, method = 'POST'): Send =>
    body =>
      overHttp(`${url}`, method, headers, body)
  const admin = `${urls.admin}/admin/v1`
  const check = grpcCheck(`${urls.gatewayGrpc}`, PATIENCE_MS)
  const exported: Send = message =>
    overGrpc(
      `${urls.otlpGrpc}`,
      '/opentelemetry.proto.collector.logs.v1.LogsService/Export',
      asReporter,
      message,
    )
  const protobuf = { ...asReporter, 'content-type': 'application/x-protobuf' }
  const packed = post(`${urls.otlpHttp}/v1/logs`, { ...protobuf, 'content-encoding': 'gzip' })
  const reportJson = { ...JSON_BODIES, ...OTLP_JSON_BODIES }
  const adminJson = { ...JSON_BODIES, ...IMPORT_BODIES }
  const routes: Route[] = [
    {
      name: '/check',
      bytes: 4 * MIB,
      bodies: JSON_BODIES,
      send: post(`${urls.gateway}/check/v1/chat/completions`, asKey),
    },
    { name: '/check over gRPC', bytes: 4 * MIB, bodies: JSON_BODIES, send: body => check(key.secret, body) },
    {
      name: '/oauth/token',
      bytes: 16_000,
      bodies: FORM_BODIES,
      send: post(`${urls.public}/oauth/token`, FORM_HEADERS),
    },
    {
      name: '/v1/oauth/token',
      bytes: 16_000,
      bodies: JSON_BODIES,
      send: post(`${urls.public}/v1/oauth/token`, json),
    },
    {
      name: '/oauth/introspect',
      bytes: 16_000,
      bodies: FORM_BODIES,
      send: post(`${urls.public}/oauth/introspect`, FORM_HEADERS),
    },
    {
      name: '/oauth/revoke',
      bytes: 16_000,
      bodies: FORM_BODIES,
      send: post(`${urls.public}/oauth/revoke`, FORM_HEADERS),
    },
    {
      name: 'admin: create a key',
      bytes: 32_000,
      bodies: adminJson,
      send: post(`${admin}/tenants/${TENANT}/keys`, ADMIN_HEADERS),
    },
    {
      name: 'admin: change a tenant',
      bytes: 32_000,
      bodies: adminJson,
      send: post(`${admin}/tenants/${TENANT}`, ADMIN_HEADERS, 'PATCH'),
    },
    {
      name: 'admin: import clients',
      bytes: MIB,
      bodies: adminJson,
      mayAccept: true,
      send: post(`${admin}/imported-clients?dry_run=true`, ADMIN_HEADERS),
    },
    {
      name: 'reports as JSON',
      bytes: MIB,
      bodies: reportJson,
      mayAccept: true,
      send: post(`${urls.otlpHttp}/v1/logs`, { ...asReporter, ...json }),
    },
    {
      name: 'reports as JSON, 4 MiB',
      bytes: 4 * MIB,
      bodies: OTLP_JSON_BODIES,
      mayAccept: true,
      send: post(`${urls.otlpHttp}/v1/logs`, { ...asReporter, ...json }),
    },
    {
      name: 'reports',
      bytes: 4 * MIB,
      bodies: OTLP_BODIES,
      mayAccept: true,
      send: post(`${urls.otlpHttp}/v1/logs`, protobuf),
    },
    {
      name: 'reports, packed',
      bytes: 4 * MIB,
      bodies: OTLP_BODIES,
      mayAccept: true,
      send: body => packed(gzipSync(body)),
    },
    { name: 'reports over gRPC', bytes: 4 * MIB - 5, bodies: OTLP_BODIES, mayAccept: true, send: exported },
  ]
  return { routes, longestTurn }
}

/** The status, or 0 without an answer. */
function overHttp(
  url: string,
  method: string,
  headers: Record<string, string>,
  body: Buffer,
): Promise<number> {
  return new Promise(resolve => {
    const sent = request(
      url,
      { method, headers: { ...headers, 'content-length': body.length }, agent: false },
      answer => answer.resume().once('close', () => resolve(answer.statusCode ?? 0)),
    )
    sent.once('error', () => resolve(0)).end(body)
  })
}

/** 200, or the status of gRPC plus 1000; 0 without an answer. */
function overGrpc(
  url: string,
  path: string,
  headers: Record<string, string>,
  message: Buffer,
): Promise<number> {
  const session = connect(url)
  return new Promise<number>(resolve => {
    session.once('error', () => resolve(0))
    const stream = session.request({
      ':method': 'POST',
      ':path': path,
      'content-type': 'application/grpc',
      te: 'trailers',
      ...headers,
    })
    let status = 0
    const read = (found: Record<string, unknown>) => {
      const code = found['grpc-status']
      if (code !== undefined) status = code === '0' ? 200 : 1_000 + Number(code)
    }
    stream
      .on('response', read)
      .on('trailers', read)
      .on('error', () => {})
    stream.resume().once('close', () => resolve(status))
    stream.end(framed(message))
  }).finally(() => session.close())
}
