import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { by, Metrics } from '../../system/metrics.ts'
import { CliError, EXIT } from '../exit-codes.ts'
import type { Rounds } from './rounds.ts'

/** `/livez`, `/readyz` and `/metrics` of a running sync. Ready: the last round had no fault, or another process writes. */
export async function openOpsPort(rounds: Rounds, host: string, port: number): Promise<Server> {
  const metrics = metricsOf(rounds)
  const server = createServer({ headersTimeout: 5_000, requestTimeout: 9_000 }, async (req, res) => {
    const answer = (status: number, text: string, type = 'application/json; charset=utf-8') =>
      res.writeHead(status, { 'content-type': type }).end(req.method === 'HEAD' ? undefined : text)
    if (req.method !== 'GET' && req.method !== 'HEAD') return answer(405, '{"error":"Only GET and HEAD."}')
    switch (req.url?.replace(/\?.*/, '')) {
      case '/livez':
        return answer(200, '{"status":"alive"}')
      case '/readyz': {
        const reason = unready(rounds)
        if (reason === undefined) return answer(200, '{"status":"ready"}')
        return answer(503, JSON.stringify({ status: 'unready', reason }))
      }
      case '/metrics':
        return answer(200, await metrics.render(), metrics.contentType)
      default:
        return answer(404, '{"error":"Unknown path."}')
    }
  })
  await new Promise<void>((resolve, reject) => {
    server.once('error', (error: NodeJS.ErrnoException) =>
      reject(
        new CliError(EXIT.usage, `port ${port} cannot be opened on ${host} (${error.code}). Set --port.`),
      ),
    )
    server.listen(port, host, resolve)
  })
  return server
}

export const portOf = (server: Server) => (server.address() as AddressInfo).port

function unready({ faults }: Rounds): string | undefined {
  if (faults === undefined) return 'the first round has not ended'
  return faults.length > 0 ? faults.map(({ message }) => message).join(' ') : undefined
}

function metricsOf(rounds: Rounds): Metrics {
  const metrics = new Metrics()
  metrics.gauge(
    'mintmark_sync_jwks_age_seconds',
    'Time since this process last saw that all objects have the current JWKS and list of revoked tokens, or since its start. Only in the process with the lease.',
    'max',
    () => (rounds.leading ? rounds.ageSeconds : undefined),
  )
  metrics.gauge(
    'mintmark_sync_leading',
    '1 if this process has the lease and writes, else 0.',
    'max',
    () => rounds.leading,
  )
  metrics.counter('mintmark_sync_writes_total', 'Objects that were written.', () => rounds.writes)
  metrics.gauge(
    'mintmark_sync_revocations',
    'Revocations of tokens in the AuthorizationPolicies, as of the last round of the process with the lease.',
    'max',
    () => (rounds.leading ? rounds.entries : undefined),
  )
  metrics.counter(
    'mintmark_sync_failures_total',
    'Failures, by reason. A conflict is a field that another field manager owns.',
    () => by('reason', rounds.failures),
    ['reason'],
  )
  return metrics
}
