import { type Command, InvalidArgumentError } from 'commander'
import { collect } from '../field-options.ts'
import { action, noun, resultVerb } from '../verb.ts'

const WHERE =
  'Run it where a replica runs, with the environment of the service: it connects to DATABASE_URL, and compares the database ' +
  'with the snapshots in MINTMARK_SNAPSHOT_DIR, and with exported audit trails. No replica has to run.'
const TRAIL =
  'export of the audit trail from before the restore, without filters but --from; "-" is standard input (repeatable)'

/** Directly on the database, before a replica serves it. */
export function restoreCommands(program: Command, environment: NodeJS.ProcessEnv): void {
  const restore = noun(program, 'restore', {
    summary: 'make a restored database agree with what was revoked since the backup',
    details: 'See docs/guides/restore.md.',
    examples: ['mintmark restore status', 'mintmark restore reconcile --apply'],
  })
  const status = resultVerb(restore, 'status', {
    summary: 'show whether the database was restored, what is refused since, and what cannot be known',
    details: WHERE,
    examples: [
      'mintmark restore status',
      'mintmark restore status -o json',
      'mintmark restore status --trail trail.ndjson',
    ],
    quiet: 'print only the state: in order, unreconciled, or unknown',
  }).option('--trail <file>', TRAIL, collect)
  status.action(
    action(environment, async ({ output }) => {
      const { showRestore } = await import('../restore/restore-status.ts')
      await showRestore(environment, status.opts<{ trail?: string[] }>().trail ?? [], output)
    }),
  )
  const reconcile = resultVerb(restore, 'reconcile', {
    summary:
      'repeat the revocations, suspensions and deletions since the backup: print the plan, or carry it out',
    details:
      `${WHERE} Each step is an ordinary revocation, suspension or deletion with its audit rows. An object that is waived stays ` +
      'as it is in the database. Until everything is applied or waived it is refused, /readyz has a warning, and the alert ' +
      'MintmarkRestoreUnreconciled fires. The command can be interrupted and repeated.',
    examples: [
      'mintmark restore reconcile',
      'mintmark restore reconcile --apply',
      'mintmark restore reconcile --apply --waive acme --reason "resumed on Monday, ticket 4711"',
      'mintmark restore reconcile --trail trail.ndjson --apply',
    ],
  })
    .option('--trail <file>', TRAIL, collect)
    .option('--apply', 'carry out the plan, instead of only printing it')
    .option('--waive <id>', 'leave this object as it is in the database (repeatable)', collect)
    .option('--reason <text>', 'reason of the waivers, for the audit trail', reason)
  reconcile.action(
    action(environment, async ({ output }) => {
      const { reconcileRestore } = await import('../restore/reconcile.ts')
      await reconcileRestore(environment, reconcile.opts(), output)
    }),
  )
}

function reason(text: string): string {
  if (text.trim() === '' || text.length > 500)
    throw new InvalidArgumentError('must have 1 to 500 characters.')
  return text
}
