import { readMigrateDatabase } from '../../config/config.ts'
import { Env } from '../../config/env.ts'
import { namedKeys } from '../../config/formats.ts'
import { Database } from '../../database/database.ts'
import { databaseFault } from '../../database/database-fault.ts'
import { listDigest, RowSealing, type UnsealedRow } from '../../service/row-sealing.ts'
import { createLogger } from '../../system/logger.ts'
import type { NamedKey } from '../../system/secret.ts'
import { CliError, EXIT } from '../exit-codes.ts'
import type { Output, View } from '../output.ts'

const VIEW: View<UnsealedRow> = {
  plural: 'rows without a seal',
  id: ({ id }) => id,
  columns: [
    { title: 'KIND', of: ({ kind }) => kind },
    { title: 'ID', of: ({ id }) => id },
    { title: 'ABOUT', of: ({ about }) => about, cut: true },
    { title: 'REFUSED', of: ({ obstacle }) => obstacle ?? '-', cut: true },
  ],
}

/**
 * Lists the rows without a valid seal, and with `yes` seals those that can be. `expect`: the digest of an earlier list;
 * with another one nothing is sealed. @throws {CliError}
 */
export async function sealRows(
  environment: NodeJS.ProcessEnv,
  {
    yes = false,
    acceptUnproven = false,
    expect,
  }: { yes?: boolean; acceptUnproven?: boolean; expect?: string },
  output: Output,
): Promise<void> {
  const env = new Env(environment)
  const secrets = {
    encryptionKeys: requiredKeys(env, 'MINTMARK_ENCRYPTION_KEYS'),
    peppers: requiredKeys(env, 'MINTMARK_PEPPERS'),
  }
  const database = new Database({
    ...readMigrateDatabase(env),
    maxConnections: 1,
    logger: createLogger('silent'),
  })
  try {
    await database.preparePassword()
    const sealing = new RowSealing({ database, secrets, acceptUnproven })
    await sealing.requireSecretsOfInstallation()
    const rows = await sealing.survey()
    await output.list(rows, VIEW)
    if (expect !== undefined && expect !== listDigest(rows))
      throw new CliError(
        EXIT.refused,
        'Nothing was sealed: the rows differ from those of the list with that digest. Look at the list again.',
      )
    await finish(rows, yes ? await sealing.seal({ id: 'owner' }, rows) : undefined, output)
  } catch (error) {
    const fault = databaseFault(error)
    throw fault === undefined ? error : new CliError(EXIT.unavailable, fault)
  } finally {
    await database.close()
  }
}

async function finish(
  rows: readonly UnsealedRow[],
  sealed: number | undefined,
  output: Output,
): Promise<void> {
  const refused = rows.filter(({ obstacle }) => obstacle !== undefined)
  if (sealed !== undefined) output.note(`Sealed ${sealed} rows.`)
  else if (refused.length < rows.length)
    output.note(
      `Nothing was sealed. Compare the kids with the published JWKS, and repeat with --yes --expect ${listDigest(rows)}, which seals nothing if a row was changed meanwhile. After the upgrade every row has a seal: one without was written past Mintmark.`,
    )
  if (refused.length === 0) return
  throw new CliError(
    EXIT.refused,
    `${refused.length} rows are refused, and stay unused:`,
    refused.map(({ kind, id, obstacle }) => `${kind} ${id}: ${obstacle}.`),
  )
}

function requiredKeys(env: Env, name: string): readonly NamedKey[] {
  const keys = env.optional(name, { description: 'as of the service', parse: namedKeys })
  if (!keys) env.fault(name, 'is required: as of the service')
  return keys ?? []
}
