import { CheckpointSigner, withoutLost } from '../../audit/audit-checkpoint.ts'
import { keptCheckpoints, verifyDatabase } from '../../audit/audit-upkeep.ts'
import { Env } from '../../config/env.ts'
import { namedKeys } from '../../config/formats.ts'
import { readInstallation } from '../../installation/installation.ts'
import { firstOf } from '../../installation/installation-secrets.ts'
import { systemClock } from '../../system/clock.ts'
import { continues } from '../../tombstones/tombstone-repository.ts'
import { onDatabase } from '../commands/audit-verify.ts'
import { CliError, EXIT } from '../exit-codes.ts'
import type { Output } from '../output.ts'
import { openedCheckpoints, readStatements, refuseForeign, trustedKeys } from './checkpoint-files.ts'

/**
 * Signs a statement of the checkpoints that a restore of the database contradicts. The rest of the trail has to verify. @throws {CliError}
 */
export async function continueAudit(
  environment: NodeJS.ProcessEnv,
  { checkpoint: files, reason }: { checkpoint: string[]; reason: string },
  output: Output,
): Promise<void> {
  const env = new Env(environment)
  const keys = env.optional('MINTMARK_ENCRYPTION_KEYS', {
    description: 'as of the service',
    parse: namedKeys,
  })
  if (!keys) env.fault('MINTMARK_ENCRYPTION_KEYS', 'is required: as of the service')
  env.throwFaults()
  const signer = new CheckpointSigner(firstOf(keys ?? []))
  const trusted = await trustedKeys(environment, [])
  const { checkpoints, continuations } = await readStatements(files, trusted)
  const given = withoutLost(checkpoints, continuations)
  const { continuation, from, lost } = await onDatabase(environment, async database => {
    await refuseForeign(database, checkpoints)
    const matched: typeof given = []
    const lost: typeof given = []
    for (const each of given) ((await database.run(db => continues(db, each))) ? matched : lost).push(each)
    if (lost.length === 0)
      throw new CliError(EXIT.conflict, 'every checkpoint matches the trail: it needs no continuation.')
    const kept = await openedCheckpoints(await keptCheckpoints(database), trusted)
    const { findings } = await verifyDatabase(database, [...kept, ...matched], systemClock)
    if (findings.length > 0)
      throw new CliError(
        EXIT.refused,
        'the trail does not verify without these checkpoints either:',
        findings.map(({ message }) => message),
      )
    const { id: installation, issuer } = await database.run(readInstallation)
    const [last] = matched.toSorted((one, other) => other.id - one.id)
    const from = last ? { id: last.id, hash: last.hash } : { id: 0, hash: '0'.repeat(64) }
    const at = new Date(systemClock.wallMs()).toISOString()
    const heads = lost.map(({ id, hash }) => ({ id, hash }))
    const continuation = await signer.signContinuation({
      issuer,
      installation,
      at,
      reason,
      from,
      lost: heads,
    })
    return { continuation, from, lost }
  })
  const farthest = Math.max(...lost.map(({ id }) => id))
  await output.either({
    text: continuation,
    json: { from: from.id, lost: lost.map(({ id }) => id), jws: continuation },
    id: continuation,
  })
  output.note(
    `Append it to the file of checkpoints. ${lost.length} checkpoints, up to row ${farthest}, are void from then on; row ${from.id} is the last one that a checkpoint confirms.`,
  )
}
