import { delimiter } from 'node:path'
import { expect, it } from 'vitest'
import { runMigrations } from '../../src/cli/commands/migrate.ts'
import { Postgres } from '../faults/environment/postgres.ts'
import { startTestService } from '../support/test-service.ts'
import { until } from '../support/until.ts'
import { AWS_PROGRAMS, lacksAws } from './aws-program.ts'
import { AWS, startRdsRelay } from './rds-relay.ts'

/** As docs/guides/postgres.md has it. */
const COMMAND = 'aws rds generate-db-auth-token --hostname {host} --port {port} --username {user}'
/** Of a role that a workload assumes: tokens with one are longer than a kilobyte. */
const SESSION_TOKEN = `${'IQoJb3JpZ2luX2VjE/+='.repeat(50)}`

it.skipIf(lacksAws()).each([
  ['of a user', {}, 300],
  ['of a role with a session token', { AWS_SESSION_TOKEN: SESSION_TOKEN }, 1_300],
])(
  "the tokens of AWS's own command are accepted by migrate and the service, also new ones: %s",
  async (_, more, shortest) => {
    const postgres = await Postgres.create()
    const relay = await startRdsRelay(postgres.port)
    const at = (user: string) => `postgres://${user}@127.0.0.1:${relay.port}/mintmark`
    const env = {
      ...AWS,
      ...more,
      PATH: `${AWS_PROGRAMS}${delimiter}${process.env.PATH}`,
      DATABASE_URL: at('mintmark'),
      DATABASE_PASSWORD_COMMAND: COMMAND,
    }
    const migrateOnce = () => runMigrations({ ...env, MIGRATE_DATABASE_URL: at('postgres') })
    // On a busy machine the command may take longer than it has.
    await until('migrated', () => migrateOnce().then(() => true), Boolean, 60_000)
    const mintmark = await startTestService({ env })
    const { secret } = await mintmark.tenantWithKey()
    const loggedIn = relay.logins.length
    await postgres.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'mintmark'")
    await until('sessions are opened again', () => relay.logins.length > loggedIn, Boolean, 60_000)
    const { status } = await mintmark.token({ grant_type: 'client_credentials', client_secret: secret })
    expect(status).toBe(200)
    expect(relay.logins.filter(({ accepted }) => !accepted)).toEqual([])
    for (const { length } of relay.logins) expect(length).toBeGreaterThan(shortest)
    expect(mintmark.logs.join()).not.toMatch(/X-Amz/)
    await mintmark.stop()
    await relay.close()
    await postgres.remove()
  },
)
