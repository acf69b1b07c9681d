import type { Command } from 'commander'
import { Env } from '../../config/env.ts'
import { postgresUrl } from '../../config/postgres-url.ts'
import { databaseFault } from '../../database/database-fault.ts'
import { type ForeignQuery, readForeignDatabase } from '../../database/foreign-database.ts'
import type { Secret } from '../../system/secret.ts'
import type { AdminClient } from '../admin-client.ts'
import { CliError, EXIT } from '../exit-codes.ts'
import type { Output } from '../output.ts'
import { carryOut } from './carry-out.ts'
import { readDestination } from './destination.ts'
import { noteDifferences } from './differences.ts'
import { planLiteLLM } from './litellm.ts'
import { readLiteLLM } from './litellm-tables.ts'
import { printReport } from './report.ts'
import { suspendUnfinished } from './unfinished.ts'

export const LITELLM_URL = 'LITELLM_DATABASE_URL'

interface Options {
  dryRun?: boolean
  tenant?: string[]
  teamlessTenant?: string
  contact?: string
}

/** `mintmark import litellm`. */
export async function importLiteLLM(
  environment: NodeJS.ProcessEnv,
  command: Command,
  admin: AdminClient,
  output: Output,
): Promise<void> {
  const { tenant = [], teamlessTenant, contact } = command.opts<Options>()
  // Also where it was given before the name of the system.
  const { dryRun = false } = command.optsWithGlobals<Options>()
  const tables = await readLiteLLMDatabase(environment, readLiteLLM)
  const found = await readDestination(admin)
  const destination = await suspendUnfinished(admin, tables, found, dryRun)
  const isMissing =
    teamlessTenant !== undefined && !destination.tenants.some(({ id }) => id === teamlessTenant)
  if (isMissing)
    throw new CliError(
      EXIT.notFound,
      `there is no tenant "${teamlessTenant}": "mintmark tenant list" has those that exist.`,
      [`To create it: mintmark tenant create ${teamlessTenant}`],
    )
  const plan = planLiteLLM(tables, destination, {
    tenantOf: new Map(tenant.map(pairOf)),
    teamless: teamlessTenant,
  })
  await noteDifferences(admin, plan.clients, 'litellm-', plan.notes)
  await printReport(await carryOut(admin, plan, { dryRun, contact, destination }), output)
}

function pairOf(given: string): [string, string] {
  const at = given.lastIndexOf('=')
  if (at < 1) throw new CliError(EXIT.usage, `--tenant "${given}": write <team_id>=<tenant>.`)
  return [given.slice(0, at), given.slice(at + 1)]
}

/** Reads LiteLLM's database, by the URL in LITELLM_DATABASE_URL. @throws {CliError} without a part of the URL. */
export async function readLiteLLMDatabase<T>(
  environment: NodeJS.ProcessEnv,
  read: (query: ForeignQuery) => Promise<T>,
): Promise<T> {
  const url = databaseUrl(environment)
  try {
    return await readForeignDatabase(url.reveal(), read)
  } catch (error) {
    for (let cause = error; cause instanceof Error; cause = cause.cause) {
      if ('code' in cause && cause.code === '42P01')
        throw new CliError(
          EXIT.usage,
          `the database in ${LITELLM_URL} lacks a table of LiteLLM: ${cause.message}.`,
        )
    }
    const fault = databaseFault(error)
    throw fault === undefined ? error : new CliError(EXIT.unavailable, `${LITELLM_URL}: ${fault}`)
  }
}

function databaseUrl(environment: NodeJS.ProcessEnv): Secret {
  const env = new Env(environment)
  const url = env.optional(LITELLM_URL, { description: 'URL of the database of LiteLLM', parse: postgresUrl })
  env.throwFaults()
  if (url) return url
  throw new CliError(
    EXIT.usage,
    `set ${LITELLM_URL}, or ${LITELLM_URL}_FILE to a file with it: what LiteLLM has as DATABASE_URL.`,
  )
}
