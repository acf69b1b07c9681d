import type { AuditRow } from '../../audit/audit-chain.ts'
import { type Checkpoint, withoutLost } from '../../audit/audit-checkpoint.ts'
import { SHORTEST_RETENTION_DAYS } from '../../audit/audit-retention.ts'
import { keptCheckpoints, pruneTrail, verifyDatabase } from '../../audit/audit-upkeep.ts'
import { type Verification, verifyTrail } from '../../audit/audit-verification.ts'
import { readMigrateDatabase } from '../../config/config.ts'
import { Env } from '../../config/env.ts'
import { Database } from '../../database/database.ts'
import { systemClock } from '../../system/clock.ts'
import { createLogger } from '../../system/logger.ts'
import { openedCheckpoints, readStatements, refuseForeign, trustedKeys } from '../audit/checkpoint-files.ts'
import { CliError, EXIT } from '../exit-codes.ts'
import { linesOf } from '../lines.ts'
import type { Output } from '../output.ts'
import { streams } from '../streams.ts'

interface VerifyOptions {
  file?: string
  checkpoint?: string[]
  key?: string[]
}

/** Verifies a trail and reports where it was tampered with. @throws {CliError} with exit code 3 when it was. */
export async function verifyAudit(
  environment: NodeJS.ProcessEnv,
  options: VerifyOptions,
  output: Output,
): Promise<void> {
  const trusted = await trustedKeys(environment, options.key ?? [])
  const { checkpoints, continuations } = await readStatements(options.checkpoint ?? [], trusted)
  const given = withoutLost(checkpoints, continuations)
  const result =
    options.file === undefined
      ? await verifyStored(environment, given, trusted)
      : await verifyTrail(rowsOfFile(options.file), { checkpoints: given, now: systemClock.wallMs() })
  await report(result, given, output)
  for (const { from, lost, at, reason } of continuations)
    output.note(
      `The rows after ${from.id} that ${lost.length} other checkpoints confirm were lost in a restore, as stated at ${at}: ${reason}`,
    )
}

/** Deletes old rows. @throws {CliError} */
export async function pruneAudit(environment: NodeJS.ProcessEnv, olderThanDays: number): Promise<void> {
  if (olderThanDays < SHORTEST_RETENTION_DAYS)
    throw new CliError(EXIT.usage, `--older-than-days must be ${SHORTEST_RETENTION_DAYS} or more.`)
  const pruned = await onDatabase(environment, database => pruneTrail(database, olderThanDays))
  streams().stdout.write(`${pruned} audit events were pruned.\n`)
}

async function verifyStored(
  environment: NodeJS.ProcessEnv,
  given: readonly Checkpoint[],
  trusted: ReadonlySet<string>,
): Promise<Verification> {
  return onDatabase(environment, async database => {
    if (given.length > 0) await refuseForeign(database, given)
    const kept = await openedCheckpoints(await keptCheckpoints(database), trusted)
    return verifyDatabase(database, [...kept, ...given], systemClock)
  })
}

/** @throws {CliError} */
export async function onDatabase<T>(
  environment: NodeJS.ProcessEnv,
  work: (database: Database) => Promise<T>,
): Promise<T> {
  const owner = readMigrateDatabase(new Env(environment))
  const database = new Database({ ...owner, maxConnections: 1, logger: createLogger('silent') })
  try {
    await database.preparePassword()
    return await work(database)
  } catch (error) {
    if (error instanceof CliError) throw error
    throw new CliError(EXIT.unavailable, `the database: ${(error as Error).message}`, causes(error as Error))
  } finally {
    await database.close()
  }
}

const causes = ({ cause }: Error) => (cause instanceof Error ? [cause.message] : [])

/** The rows of an export; `-` is standard input. @throws {CliError} */
export async function* rowsOfFile(file: string): AsyncGenerator<AuditRow> {
  let line = 0
  for await (const text of linesOf(file)) {
    line++
    yield parsedRow(text ?? '', line)
  }
}

function parsedRow(text: string, line: number): AuditRow {
  try {
    const row = JSON.parse(text) as Partial<AuditRow> | null
    if (Number.isSafeInteger(row?.id) && typeof row?.hash === 'string' && typeof row.changes === 'object')
      return row as AuditRow
  } catch {}
  throw new CliError(EXIT.refused, `line ${line} is not a row of an export.`)
}

async function report(
  result: Verification,
  checkpoints: readonly { id: number; thumbprint: string }[],
  output: Output,
): Promise<void> {
  const { findings, rows, first, last } = result
  const range = first === null ? 'no rows' : `${rows} rows, ${first} to ${last?.id}`
  if (findings.length > 0) {
    await output.json(result)
    const messages = findings.map(finding => finding.message)
    throw new CliError(EXIT.refused, `the audit trail does not verify (${range}):`, messages)
  }
  await output.either({
    text: `The audit trail verifies: ${range}. Its last hash is ${last?.hash ?? 'none'}.`,
    json: result,
    id: String(last?.id ?? 0),
  })
  for (const { id, thumbprint } of checkpoints) {
    if (first !== null && id < first - 1)
      output.note(`The checkpoint of row ${id} is older than these rows, and does not cover them.`)
    else output.note(`It matches the checkpoint of row ${id}, signed with the key ${thumbprint}.`)
  }
}
