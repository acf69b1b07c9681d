import { day, moment } from '../output.ts'
import { printable } from '../terminal-text.ts'
import type { ReviewedKey } from './reviewed-key.ts'

const DAY_MS = 86_400_000
const LONG_UNUSED_DAYS = 90

/** A report for people to read, sign and keep. `now` in epoch milliseconds; `about`: which keys it is of. */
export function markdownReport(
  keys: readonly ReviewedKey[],
  { title, about, service, now }: { title: string; about: string; service: string; now: number },
): string {
  const since = new Date(now - LONG_UNUSED_DAYS * DAY_MS).toISOString()
  const count = (holds: (key: ReviewedKey) => boolean) => keys.filter(holds).length
  const lines = [
    `# ${title}`,
    '',
    `${moment(new Date(now).toISOString())}, ${service}. ${about}`,
    '',
    '| | keys |',
    '|---|---|',
    `| all | ${keys.length} |`,
    `| without a contact | ${count(key => key.contact === null)} |`,
    `| never used | ${count(key => key.last_used_at === null)} |`,
    `| not used in ${LONG_UNUSED_DAYS} days | ${count(key => key.last_used_at !== null && key.last_used_at < since)} |`,
    `| without an end | ${count(key => key.expires_at === null)} |`,
  ]
  for (const [tenant, those] of byTenant(keys)) lines.push('', ...tenantPart(tenant, those))
  return `${lines.join('\n')}\n`
}

function byTenant(keys: readonly ReviewedKey[]): Map<string, ReviewedKey[]> {
  const tenants = new Map<string, ReviewedKey[]>()
  for (const key of keys.toSorted((one, other) => (one.tenant < other.tenant ? -1 : 1)))
    tenants.set(key.tenant, [...(tenants.get(key.tenant) ?? []), key])
  return tenants
}

function tenantPart(tenant: string, keys: readonly ReviewedKey[]): string[] {
  const [{ tenant_name: name } = { tenant_name: '' }] = keys
  const rows = keys.map(key =>
    [
      `${key.name} (${key.id})`,
      key.state,
      [key.contact ?? 'none', key.escalation].filter(each => each !== null).join(', then '),
      day(key.last_used_at, 'never'),
      day(key.expires_at, 'never'),
      [key.tier ?? '', ...key.models, ...key.adapters].join(' '),
      `${key.created_by ?? 'not known'}, ${day(key.created_at)}`,
      '',
    ].map(cell),
  )
  const header = ['key', 'state', 'contact', 'last used', 'expires', 'tier and models', 'created by', 'keep?']
  return [
    `## ${cell(tenant === name ? tenant : `${tenant}: ${name}`)}`,
    '',
    `| ${header.join(' | ')} |`,
    `|${'---|'.repeat(header.length)}`,
    ...rows.map(row => `| ${row.join(' | ')} |`),
  ]
}

/** Names are chosen by others: no markup of theirs. */
const cell = (text: string) => printable(text).replace(/[\\`*_[\]<>|#]/g, found => `\\${found}`)
