import type { Command } from 'commander'
import { path } from '../admin-client.ts'
import { CliError, EXIT } from '../exit-codes.ts'
import { identityTokenFrom } from '../identity-token.ts'
import { readInput } from '../input.ts'
import { day, type View } from '../output.ts'
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

interface Provider {
  id: string
  name: string
  kind: string
  issuer: string
  audiences: string[]
  updated_at: string
}

interface Credential {
  id: string
  type: string
  provider?: string
  subject?: string | null
  last_used_at: string | null
}

interface Explanation {
  accepted: boolean
  reason: string | null
  provider: string | null
  key: string | null
}

const PROVIDERS = '/identity-providers'
const PROVIDER: View<Provider> = {
  plural: 'identity providers',
  id: provider => provider.id,
  columns: [
    { title: 'ID', of: provider => provider.id },
    { title: 'NAME', of: provider => provider.name, cut: true },
    { title: 'KIND', of: provider => provider.kind },
    { title: 'ISSUER', of: provider => provider.issuer, cut: true },
    { title: 'UPDATED', of: provider => day(provider.updated_at) },
  ],
}
const CREDENTIAL: View<Credential> = {
  plural: 'credentials',
  id: credential => credential.id,
  columns: [
    { title: 'ID', of: credential => credential.id },
    { title: 'TYPE', of: credential => credential.type },
    { title: 'PROVIDER', of: credential => credential.provider ?? '' },
    { title: 'SUBJECT', of: credential => credential.subject ?? '', cut: true },
    { title: 'LAST USED', of: credential => (credential.last_used_at ? day(credential.last_used_at) : '') },
  ],
}
const EXPLANATION: View<Explanation> = {
  plural: 'explanations',
  id: explanation => explanation.reason ?? explanation.key ?? '',
  columns: [],
}

export function identityCommands(program: Command, environment: NodeJS.ProcessEnv): void {
  const identity = noun(program, 'identity', {
    summary: 'identity providers whose tokens are exchanged, and keys without a secret',
    examples: ['mintmark identity providers', 'mintmark identity explain --file token'],
  })
  readProviders(identity, environment)
  changeProviders(identity, environment)
  credentials(identity, environment)
  explain(identity, environment)
}

function readProviders(identity: Command, environment: NodeJS.ProcessEnv): void {
  const all = listVerb(identity, 'providers', {
    summary: 'list identity providers, newest first',
    examples: ['mintmark identity providers'],
  })
  all.action(
    action(environment, async ({ admin, output }) => {
      await output.list(await admin.list<Provider>(PROVIDERS, all.opts().limit), PROVIDER)
    }),
  )
  getVerb(identity, 'get <provider>', {
    summary: 'show an identity provider',
    examples: ['mintmark identity get idp_3Fh7Kd9Qx2Lm5Zt8'],
  }).action(
    action<[id: string]>(environment, (invocation, id) =>
      show<Provider>(invocation, PROVIDERS + path`/${id}`, PROVIDER),
    ),
  )
}

function changeProviders(identity: Command, environment: NodeJS.ProcessEnv): void {
  const create = fromJson(
    changeVerb(identity, 'create', {
      summary: 'create an identity provider',
      examples: ['mintmark identity create --file provider.json'],
    }),
  )
  repeatable(create).action(
    action(environment, async ({ admin, output }) => {
      const created = await admin.post<Provider>(PROVIDERS, await jsonOf(create))
      await output.changed(created, PROVIDER, `Created the identity provider ${created.id}.`)
    }),
  )
  const update = fromJson(
    changeVerb(identity, 'update <provider>', {
      summary: 'change an identity provider',
      details: 'Fields that the file lacks keep their value; null resets one to its default.',
      examples: ['mintmark identity update idp_3Fh7Kd9Qx2Lm5Zt8 --file changes.json'],
    }),
  )
  conditional(update).action(
    action<[id: string]>(environment, async ({ admin, output }, id) => {
      const updated = await admin.patch<Provider>(PROVIDERS + path`/${id}`, await jsonOf(update))
      await output.changed(updated, PROVIDER, `Updated the identity provider ${id}.`)
    }),
  )
  const remove = resultVerb(identity, 'delete <provider>', {
    summary: 'delete an identity provider',
    details: 'Rejected while a credential of a key names it.',
    examples: ['mintmark identity delete idp_3Fh7Kd9Qx2Lm5Zt8'],
  })
  conditional(remove).action(
    action<[id: string]>(environment, async ({ admin, output }, id) => {
      await admin.delete(PROVIDERS + path`/${id}`)
      await output.deleted('id', id, `Deleted the identity provider ${id}.`)
    }),
  )
}

function credentials(identity: Command, environment: NodeJS.ProcessEnv): void {
  resultVerb(identity, 'credentials <key>', {
    summary: 'list credentials of a key that are not secrets',
    examples: ['mintmark identity credentials key_7Hq2kd9XwP3mZt5B'],
  }).action(
    action<[key: string]>(environment, async ({ admin, output }, key) => {
      const { data } = await admin.get<{ data: Credential[] }>(path`/keys/${key}/credentials`)
      await output.list(data, CREDENTIAL)
    }),
  )
  const add = fromJson(
    changeVerb(identity, 'add-credential <key>', {
      summary: 'add a credential to a key',
      examples: ['mintmark identity add-credential key_7Hq2kd9XwP3mZt5B --file credential.json'],
    }),
  )
  repeatable(add).action(
    action<[key: string]>(environment, async ({ admin, output }, key) => {
      const created = await admin.post<Credential>(path`/keys/${key}/credentials`, await jsonOf(add))
      await output.changed(created, CREDENTIAL, `Added the credential ${created.id}.`)
    }),
  )
  resultVerb(identity, 'delete-credential <key> <credential>', {
    summary: 'delete a credential of a key',
    examples: ['mintmark identity delete-credential key_7Hq2kd9XwP3mZt5B crd_8Wd2Nc6Ry4Bk9Qv1'],
  }).action(
    action<[key: string, id: string]>(environment, async ({ admin, output }, key, id) => {
      await admin.delete(path`/keys/${key}/credentials/${id}`)
      await output.deleted('id', id, `Deleted the credential ${id}.`)
    }),
  )
}

function explain(identity: Command, environment: NodeJS.ProcessEnv): void {
  const command = resultVerb(identity, 'explain', {
    summary: 'explain what an exchange of an identity token would do',
    details:
      'Reads the token from --file, else from standard input. Exit code 0: it would be accepted, 3: it would not, and why.',
    examples: [
      'kubectl create token trainer --audience https://tokens.example.com | mintmark identity explain',
      'mintmark identity explain --file token --client acme',
    ],
    quiet: 'print only the reason, or the key',
  })
    .option('--file <path>', 'file with the identity token; "-" is standard input')
    .option('--client <id>', 'key or tenant that the request would name')
    .option('--id-token', 'it would be sent with the type id_token')
  command.action(
    action(environment, async ({ admin, output }) => {
      const {
        file = '-',
        client,
        idToken,
      } = command.opts<{ file?: string; client?: string; idToken?: true }>()
      const body = {
        assertion: await identityTokenFrom(file),
        ...(client !== undefined && { client_id: client }),
        ...(idToken && { id_token: true }),
      }
      const explanation = await admin.post<Explanation>(`${PROVIDERS}/explain`, body)
      await output.object(explanation, EXPLANATION)
      if (!explanation.accepted)
        throw new CliError(EXIT.refused, `the exchange would be rejected: ${explanation.reason}.`)
    }),
  )
}

const fromJson = (command: Command) =>
  command.option('--file <path>', 'file with the fields in JSON, as in the API; "-" is standard input')

async function jsonOf(command: Command): Promise<object> {
  const text = await readInput(
    command.opts().file,
    'no fields: name a file with --file, or pipe JSON to standard input.',
  )
  try {
    const value: unknown = JSON.parse(text)
    if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value
  } catch {
    // Below.
  }
  throw new CliError(EXIT.usage, 'the input is not a JSON object.')
}
