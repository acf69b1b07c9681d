import { setTimeout as sleep } from 'node:timers/promises'
import { timed, until } from '../support/until.ts'
import { type Experiment, PATIENCE_MS } from './environment/environment.ts'
import { streams } from './environment/load.ts'
import { lacksNameServer, NameServer } from './environment/name-server.ts'
import { unknownKey } from './environment/replica.ts'
import { WHY } from './environment/report.ts'
import { underLoad } from './environment/under-load.ts'

const SHORT_MS = 2_500

/**
 * The name server stops answering, and every connection to Postgres is lost: each new one waits for a lookup, which
 * takes a thread of libuv for seconds.
 */
export const experiment: Experiment = {
  id: 'F35',
  title: 'DNS does not answer',
  lacks: lacksNameServer,
  run: async environment => {
    const { report } = environment
    const names = await NameServer.start()
    environment.onEnd(() => names.close())
    const rate = { perSecond: 10, connections: 10, connected: true }
    const answered = await underLoad(
      environment,
      {
        start: postgres =>
          environment.replica(names.under(postgres.applicationUrl()), {
            ...names.environment(),
            // Its signatures are made on libuv's threads, as lookups are.
            MINTMARK_SIGNING_ALG: 'RS256',
          }),
        usually: { p99: 50 },
        more: replica => [
          streams.jwks([replica], rate),
          streams.unknown([replica], {
            perSecond: environment.rate(100),
            connections: 50,
            connected: true,
          }),
        ],
      },
      async ({ replica, postgres }) => {
        const before = names.lookups
        names.silent = true
        const end = () =>
          postgres.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'mintmark'")
        await end()
        await until('it looks the name up', () => names.lookups > before, Boolean, PATIENCE_MS)
        const unanswered = await replica.exchange(unknownKey())
        await sleep(environment.full ? environment.outageMs : SHORT_MS)
        names.silent = false
        const { ms } = await timed(() =>
          until(
            'an unknown key is refused again',
            () => replica.exchange(unknownKey()),
            ({ status }) => status === 401,
            PATIENCE_MS,
          ),
        )
        report.invariant('lookups without an answer', names.lookups - before, {
          atLeast: 1,
          why: WHY.carriedOut,
        })
        report.invariant('status of an unknown key meanwhile', unanswered.status, {
          exactly: 503,
          why: WHY.honest,
        })
        report.promise('unknown keys are refused again after', ms, {
          usually: 10_000,
          atMost: PATIENCE_MS,
          unit: 'ms',
          why: WHY.recovers,
        })
      },
    )
    report.note('answers to unknown keys', answered('unknown').statuses)
    report.invariant('JWKS fetches that failed', answered('jwks').failing(200).count, {
      exactly: 0,
      why: WHY.knownKeys,
    })
    report.invariant(
      'unknown keys other than 401, or 503 with Retry-After',
      answered('unknown').wrong(401).count,
      {
        exactly: 0,
        why: WHY.honest,
      },
    )
  },
}
