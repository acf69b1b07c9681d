import type { Command } from 'commander'
import { TENANT_SETTINGS } from '../../tenants/tenant-settings.ts'
import { path } from '../admin-client.ts'
import { irreversible } from '../confirmation.ts'
import { bodyOf, changesOf, removedLabels, revokeTokens, unset } from '../field-options.ts'
import { day, names, type View } from '../output.ts'
import { nullTexts, settingOptions, unsettable } from '../setting-options.ts'
import {
  action,
  changeVerb,
  conditional,
  getVerb,
  listVerb,
  noun,
  repeatable,
  resultVerb,
  show,
} from '../verb.ts'

interface Tenant {
  id: string
  name: string
  state: string
  tier: string
  allowed_tiers: string[]
  adapters: string[]
  contact: string | null
  created_at: string
}

const VIEW: View<Tenant> = {
  plural: 'tenants',
  id: tenant => tenant.id,
  columns: [
    { title: 'ID', of: tenant => tenant.id },
    { title: 'NAME', of: tenant => tenant.name, cut: true },
    { title: 'STATE', of: tenant => tenant.state, state: true },
    { title: 'TIER', of: tenant => tenant.tier },
    { title: 'ADAPTERS', of: tenant => names(tenant.adapters), cut: true },
    { title: 'CONTACT', of: tenant => tenant.contact ?? '-', cut: true, optional: true },
    { title: 'CREATED', of: tenant => day(tenant.created_at) },
  ],
  nulls: nullTexts(TENANT_SETTINGS),
}

export function tenantCommands(program: Command, environment: NodeJS.ProcessEnv): void {
  const tenant = noun(program, 'tenant', {
    summary: 'tenants, with the tiers, base models, adapters and audiences of their keys',
    examples: [
      'mintmark tenant create acme --tier premium --adapter acme-sql',
      'mintmark tenant suspend acme',
    ],
  })
  create(tenant, environment)
  read(tenant, environment)
  update(tenant, environment)
  switches(tenant, environment)
  remove(tenant, environment)
}

function create(tenant: Command, environment: NodeJS.ProcessEnv): void {
  const command = changeVerb(tenant, 'create <tenant>', {
    summary: 'create a tenant',
    details:
      'The id is 1 to 63 of a-z, 0-9 and "-", and is never reused. Without options it has the tier "standard", ' +
      'every registered base model and no adapter.',
    examples: [
      'mintmark tenant create acme --tier premium --allow-tier premium --allow-tier batch --adapter acme-sql',
      'mintmark tenant create blue --name "Blue Ltd" --model llama-3-8b --label team=search',
    ],
  })
  for (const option of settingOptions(TENANT_SETTINGS)) command.addOption(option)
  repeatable(command).action(
    action<[id: string]>(environment, async ({ admin, output }, id) => {
      const created = await admin.post<Tenant>('/tenants', { id, ...bodyOf(command) })
      await output.changed(
        created,
        VIEW,
        `Created the tenant ${created.id}. Its first key: mintmark key create ${created.id}`,
      )
    }),
  )
}

function read(tenant: Command, environment: NodeJS.ProcessEnv): void {
  const all = listVerb(tenant, 'list', {
    summary: 'list tenants, newest first',
    examples: ['mintmark tenant list', 'mintmark tenant list -o json'],
  })
  all.action(
    action(environment, async ({ admin, output }) => {
      await output.list(await admin.list<Tenant>('/tenants', all.opts().limit), VIEW)
    }),
  )
  getVerb(tenant, 'get <tenant>', {
    summary: 'show a tenant',
    examples: ['mintmark tenant get acme'],
  }).action(
    action<[id: string]>(environment, (invocation, id) =>
      show<Tenant>(invocation, path`/tenants/${id}`, VIEW),
    ),
  )
}

function update(tenant: Command, environment: NodeJS.ProcessEnv): void {
  const command = changeVerb(tenant, 'update <tenant>', {
    summary: 'update the given settings only',
    details:
      'A given list replaces the old one. Rights that a tenant loses, its keys lose too, from their ' +
      'next exchange.',
    examples: [
      'mintmark tenant update acme --adapter acme-sql --adapter acme-chat',
      'mintmark tenant update acme --unset models --remove-label team',
    ],
  })
  for (const option of settingOptions(TENANT_SETTINGS)) command.addOption(option)
  command.addOption(removedLabels())
  command.addOption(revokeTokens())
  command.addOption(
    unset(
      unsettable(TENANT_SETTINGS),
      'models: every registered base model again; the others: the default of the service or policy again',
    ),
  )
  conditional(command).action(
    action<[id: string]>(environment, async ({ admin, output }, id) => {
      const changed = await admin.patch<Tenant>(path`/tenants/${id}`, changesOf(command))
      await output.changed(changed, VIEW, `Updated the tenant ${id}.`)
    }),
  )
}

function switches(tenant: Command, environment: NodeJS.ProcessEnv): void {
  const texts = {
    suspend: [
      'reject exchanges of its keys until "resume"',
      (id: string) =>
        `Suspended the tenant ${id}. Its issued tokens are revoked: gateways without the list of revoked tokens accept them until they expire.`,
    ],
    resume: ['allow exchanges of its keys again', (id: string) => `Resumed the tenant ${id}: it is active.`],
  } as const
  for (const [name, [summary, note]] of Object.entries(texts)) {
    const command = changeVerb(tenant, `${name} <tenant>`, {
      summary,
      examples: [`mintmark tenant ${name} acme`],
    })
    conditional(command).action(
      action<[id: string]>(environment, async ({ admin, output }, id) => {
        await output.changed(await admin.post<Tenant>(`${path`/tenants/${id}`}/${name}`), VIEW, note(id))
      }),
    )
  }
}

function remove(tenant: Command, environment: NodeJS.ProcessEnv): void {
  const command = irreversible(
    resultVerb(tenant, 'delete <tenant>', {
      summary: 'delete a tenant permanently',
      details: 'Its id is never reused. Rejected while it has live keys, unless --cascade revokes them too.',
      examples: ['mintmark tenant delete acme', 'mintmark tenant delete acme --cascade --dry-run'],
    }),
  )
    .option('--cascade', 'also revoke its live keys')
    .option('--dry-run', 'only count what would be deleted')
  conditional(command).action(
    action<[id: string]>(environment, async ({ admin, output, confirm }, id) => {
      const { cascade = false, dryRun } = command.opts<{ cascade?: boolean; dryRun?: boolean }>()
      const place = `${path`/tenants/${id}`}?cascade=${cascade}`
      if (dryRun) {
        const json = await admin.delete<DeletionDryRun>(`${place}&dry_run=true`)
        return output.either({ text: rehearsed(json), json, id })
      }
      const keys = cascade ? ', and revokes its keys' : ''
      await confirm({ warning: `This deletes the tenant ${id}${keys}; the id is never reused.`, name: id })
      await admin.delete(place)
      await output.deleted('id', id, `Deleted the tenant ${id}.`)
    }),
  )
}

interface DeletionDryRun {
  would_delete: { tenant: string; keys: number; live_keys: number; admin_tokens: number }
}

const rehearsed = ({ would_delete: { tenant, keys, live_keys, admin_tokens } }: DeletionDryRun): string =>
  `Would delete the tenant ${tenant}, its keys (${keys}, of which ${live_keys} live) and admin tokens (${admin_tokens}).`
