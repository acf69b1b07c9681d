import type { Command } from 'commander'
import type { AdminClient } from '../admin-client.ts'
import { requireAllTenants } from '../commands/context/tenant-of-caller.ts'
import { linesOf } from '../lines.ts'
import type { Output, View } from '../output.ts'
import { LITELLM_URL, readLiteLLMDatabase } from './litellm-command.ts'
import { readSpendLogs } from './litellm-tables.ts'
import { clientOfToken, LogSummary } from './request-log.ts'
import { ACCEPTED, byClientId, type ShadowedKey, type Verdict, verdictOf } from './shadow.ts'

const VIEW: View<Verdict> = {
  plural: 'requests that would be refused',
  id: verdict => verdict.client_id ?? '-',
  columns: [
    { title: 'REQUESTS', of: ({ requests }) => String(requests) },
    { title: 'WOULD BE', of: ({ verdict }) => verdict },
    { title: 'CLIENT', of: verdict => verdict.client_id ?? '-', cut: true },
    { title: 'KEY', of: ({ key }) => key ?? '-' },
    { title: 'TENANT', of: ({ tenant }) => tenant ?? '-', cut: true },
    { title: 'MODEL', of: ({ model }) => model ?? 'not logged', cut: true },
  ],
}

/** `mintmark import shadow`: what would be refused of the requests that another gateway logged. */
export async function shadow(
  environment: NodeJS.ProcessEnv,
  file: string | undefined,
  command: Command,
  admin: AdminClient,
  output: Output,
): Promise<void> {
  // Keys of other tenants would be shown as not imported.
  await requireAllTenants(admin, 'import shadow needs the keys')
  const { days = 7 } = command.opts<{ days?: number }>()
  const summary = new LogSummary()
  const from = file ?? `LiteLLM_SpendLogs in ${LITELLM_URL}`
  if (file !== undefined) await readLog(file, summary)
  else {
    const logged = await readLiteLLMDatabase(environment, query => readSpendLogs(query, days))
    for (const { token, model, requests } of logged)
      summary.add(clientOfToken(token), model || undefined, requests)
  }
  const uses = summary.uses(from)
  const keys = byClientId(
    await admin.list<ShadowedKey>('/keys', Number.POSITIVE_INFINITY, { imported: 'any' }),
  )
  const tenants = await admin.list<{ id: string; state: string }>('/tenants')
  const suspended = new Set(tenants.flatMap(({ id, state }) => (state === 'suspended' ? id : [])))
  const verdicts = uses.map(use => verdictOf(use, keys, suspended))
  const refused = verdicts
    .filter(({ verdict }) => verdict !== ACCEPTED)
    .toSorted((one, other) => other.requests - one.requests)
  await output.list(refused, VIEW)
  const count = (those: readonly Verdict[]) => those.reduce((sum, { requests }) => sum + requests, 0)
  output.note(
    `${count(verdicts)} requests: ${count(verdicts) - count(refused)} would be accepted, ${count(refused)} refused.` +
      (summary.unreadable > 0 ? ` ${summary.unreadable} lines were not read: their form is not known.` : ''),
  )
}

async function readLog(file: string, summary: LogSummary): Promise<void> {
  for await (const line of linesOf(file)) summary.addLine(line ?? '')
}
