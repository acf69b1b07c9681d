import type { Command } from 'commander'
import { ApiError } from '../admin-client.ts'
import { CliError, EXIT } from '../exit-codes.ts'
import { parseWholeNumber } from '../field-options.ts'
import { clientsOf, readClients } from '../import/import-file.ts'
import type { View } from '../output.ts'
import { action, resultVerb } from '../verb.ts'

interface ImportReport {
  dry_run: boolean
  created: number
  exists: number
  refused: number
  rows: ImportedRow[]
}

interface ImportedRow {
  row: number
  client_id: string
  result: string
  key: string | null
  errors: { pointer: string; message: string }[]
}

const VIEW: View<ImportedRow> = {
  plural: 'clients',
  id: row => row.key ?? row.client_id,
  columns: [
    { title: 'ROW', of: row => String(row.row) },
    { title: 'CLIENT', of: row => row.client_id, cut: true },
    { title: 'RESULT', of: row => row.result, state: true },
    { title: 'KEY', of: row => row.key ?? '-' },
    { title: 'WHY', of: row => row.errors.map(faultText).join('; ') || '-' },
  ],
}

const faultText = ({ pointer, message }: { pointer: string; message: string }) =>
  `${pointer.slice(1)} ${message}`

export function importCommand(program: Command, environment: NodeJS.ProcessEnv): void {
  const command = resultVerb(program, 'import <file>', {
    summary: 'import clients and secret hashes from another system',
    details:
      'NDJSON (one object a line) or CSV with a header line: client_id, tenant, scheme (bcrypt or sha256), hash, ' +
      'lookup (true: accepted without client_id), disabled, and any setting of a key. All clients of a file are imported, or none; at most 1000. A client that was imported before ' +
      'with the same values stays as it is, so a file can be imported again.',
    examples: ['mintmark import clients.csv --dry-run', 'mintmark import clients.ndjson -o json'],
    quiet: 'print only the keys',
  }).option('--dry-run', 'only check the clients, and change nothing')
  command.action(
    action<[file: string]>(environment, async ({ admin, output }, file) => {
      const clients = clientsOf(await readClients(file), file)
      const query = command.opts().dryRun ? '?dry_run=true' : ''
      const report = await admin
        .post<ImportReport>(`/imported-clients${query}`, { clients })
        .catch(error => Promise.reject(byRow(error)))
      await output.list(report.rows, VIEW)
      const { created, exists, refused } = report
      const done = report.dry_run ? 'Nothing was imported: this was a dry run' : 'Imported'
      output.note(`${done}. New: ${created}, imported before: ${exists}, rejected: ${refused}.`)
      if (refused > 0)
        throw new CliError(EXIT.conflict, `${refused} clients are invalid, so the import would be rejected.`)
    }),
  )
  // What follows the name of a system is for its command.
  command.enablePositionalOptions()
  litellm(command, environment)
  exported(command, environment, 'unkey', {
    summary: 'import keys of Unkey',
    details:
      'Rows of the table "keys" of its database, as NDJSON, a JSON array, or CSV with a header line: id, hash, name, owner_id, ' +
      'enabled, expires. A tenant is created for each owner.',
  })
  exported(command, environment, 'kong', {
    summary: "import keys of Kong's key-auth plugin",
    details:
      'The YAML or JSON of "deck gateway dump" or "kong config db_export". Keys are hashed on this machine, and only their hashes ' +
      'are sent. A tenant is created for each consumer.',
  })
  shadow(command, environment)
}

function shadow(parent: Command, environment: NodeJS.ProcessEnv): void {
  const command = resultVerb(parent, 'shadow [log]', {
    summary: 'show which requests of a log would be refused after the switch',
    details:
      'Compares what another gateway logged with the keys that were imported, and changes nothing. The log has one JSON object a ' +
      "line, of LiteLLM's or Kong's logging, or with client_id and model. Without a file: the table LiteLLM_SpendLogs in " +
      'LITELLM_DATABASE_URL.',
    examples: ['mintmark import shadow', 'mintmark import shadow litellm-requests.ndjson -o json'],
    quiet: 'print only the client_ids',
  }).option('--days <n>', 'how far back to read the table (default: 7)', parseWholeNumber)
  command.action(
    action<[log: string | undefined]>(environment, async ({ admin, output }, log) =>
      (await import('../import/shadow-command.ts')).shadow(environment, log, command, admin, output),
    ),
  )
}

function exported(
  parent: Command,
  environment: NodeJS.ProcessEnv,
  system: 'unkey' | 'kong',
  help: { summary: string; details: string },
): void {
  const file = system === 'kong' ? 'kong.yaml' : 'keys.ndjson'
  const command = resultVerb(parent, `${system} <file>`, {
    ...help,
    examples: [
      `mintmark import ${system} ${file} --dry-run`,
      `mintmark import ${system} ${file} --tenant acme`,
    ],
    quiet: 'print only the ids of new tenants',
  })
    .option('--dry-run', 'only report, and change nothing')
    .option('--tenant <tenant>', 'tenant for all keys (default: one for each owner)')
    .option('--contact <text>', CONTACT)
  command.action(
    action<[file: string]>(environment, async ({ admin, output }, from) => {
      const { importExport, SYSTEMS } = await import('../import/export-command.ts')
      await importExport(SYSTEMS[system], from, command, admin, output)
    }),
  )
}

const CONTACT = 'person or team that is responsible for the new tenants'

function litellm(parent: Command, environment: NodeJS.ProcessEnv): void {
  const command = resultVerb(parent, 'litellm', {
    summary: 'import the teams and virtual keys of a LiteLLM proxy',
    details:
      'Reads the database in LITELLM_DATABASE_URL or LITELLM_DATABASE_URL_FILE, which is not changed. Teams become ' +
      'tenants, and keys can be used as they are until they end, or for 180 days. Prints what could not be mapped. Nothing gets ' +
      'more rights than it had. It can be interrupted and repeated: what was imported stays as it is, and differences are printed.',
    examples: [
      'LITELLM_DATABASE_URL_FILE=litellm-url mintmark import litellm --dry-run',
      'mintmark import litellm --teamless-tenant people --tenant 4f1c=search',
    ],
    quiet: 'print only the ids of new tenants',
  })
    .option('--dry-run', 'only report, and change nothing')
    .option(
      '--tenant <team_id=tenant>',
      'tenant for the keys of a team; repeat it for further teams',
      (pair: string, before: string[] = []) => [...before, pair],
    )
    .option('--teamless-tenant <tenant>', 'tenant for keys without a team (default: they are not imported)')
    .option('--contact <text>', CONTACT)
  command.action(
    action(environment, async ({ admin, output }) =>
      (await import('../import/litellm-command.ts')).importLiteLLM(environment, command, admin, output),
    ),
  )
}

/** The service counts entries of a list; people count rows of a file. */
function byRow(error: unknown): unknown {
  if (!(error instanceof ApiError) || error.faults.length === 0) return error
  const lines = error.faults.map(({ pointer, message }) => {
    const [, index, field] = /^\/clients\/(\d+)(?:\/(.*))?$/.exec(pointer) ?? []
    return index === undefined
      ? `${pointer.slice(1)} ${message}`
      : `row ${Number(index) + 1}: ${field ?? ''} ${message}`
  })
  return new CliError(error.exitCode, 'nothing was imported:', lines)
}
