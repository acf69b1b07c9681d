import type { Command } from 'commander'
import type { AdminClient } from '../admin-client.ts'
import { CliError, EXIT } from '../exit-codes.ts'
import type { Output } from '../output.ts'
import { carryOut } from './carry-out.ts'
import { readDestination } from './destination.ts'
import { noteDifferences } from './differences.ts'
import { type ExportedKey, planExport } from './exported-key.ts'
import { clientsOf, readClients } from './import-file.ts'
import { kongKeys } from './kong.ts'
import { printReport } from './report.ts'
import { unkeyKeys } from './unkey.ts'

interface System {
  /** Of the client_ids of its keys. */
  prefix: string
  /** Of the tenants of its owners. */
  label: string
  keysOf: (text: string, file: string) => ExportedKey[]
}

export const SYSTEMS = {
  unkey: {
    prefix: 'unkey-',
    label: 'unkey/owner',
    keysOf: (text, file) => unkeyKeys(rowsOf(text, file)),
  },
  kong: { prefix: 'kong-', label: 'kong/consumer', keysOf: kongKeys },
} satisfies Record<string, System>

/** `mintmark import unkey` and `mintmark import kong`. */
export async function importExport(
  { prefix, label, keysOf }: System,
  file: string,
  command: Command,
  admin: AdminClient,
  output: Output,
): Promise<void> {
  const { tenant, contact } = command.opts<{ tenant?: string; contact?: string }>()
  const { dryRun = false } = command.optsWithGlobals<{ dryRun?: boolean }>()
  const keys = keysOf(await readClients(file), file)
  const destination = await readDestination(admin)
  if (tenant !== undefined && !destination.tenants.some(({ id }) => id === tenant))
    throw new CliError(
      EXIT.notFound,
      `there is no tenant "${tenant}": "mintmark tenant list" has those that exist.`,
      [`To create it: mintmark tenant create ${tenant}`],
    )
  const plan = planExport(keys, destination, { tenant, label })
  await noteDifferences(admin, plan.clients, prefix, plan.notes)
  await printReport(await carryOut(admin, plan, { dryRun, contact, destination }), output)
}

/** A JSON array, NDJSON or CSV. */
function rowsOf(text: string, file: string): object[] {
  if (!text.trimStart().startsWith('[')) return clientsOf(text, file)
  try {
    return JSON.parse(text) as object[]
  } catch {
    throw new CliError(EXIT.usage, `${file} is not JSON.`)
  }
}
