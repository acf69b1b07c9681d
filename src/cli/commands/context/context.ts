import type { Command } from 'commander'
import {
  type Context,
  type Contexts,
  readContexts,
  removeStoredToken,
  writeContexts,
} from '../../contexts/context-store.ts'
import { CliError, EXIT } from '../../exit-codes.ts'
import type { View } from '../../output.ts'
import { action, noun, resultVerb } from '../../verb.ts'

interface Row {
  name: string
  current: boolean
  url: string
  public_url: string | null
  ca_file: string | null
  token_command: string | null
}

const VIEW: View<Row> = {
  plural: 'contexts',
  id: ({ name }) => name,
  columns: [
    { title: '', of: ({ current }) => (current ? '*' : '') },
    { title: 'NAME', of: ({ name }) => name },
    { title: 'URL', of: ({ url }) => url },
    { title: 'PUBLIC URL', of: row => row.public_url ?? '-', optional: true },
    { title: 'TOKEN', of: row => row.token_command ?? 'stored', cut: true },
  ],
}

export function contextCommands(program: Command, environment: NodeJS.ProcessEnv): void {
  const parent = noun(program, 'context', {
    summary: 'the servers that "mintmark login" stored, and which one commands use',
    examples: ['mintmark context list', 'mintmark context use prod'],
  })
  resultVerb(parent, 'list', {
    summary: 'list the stored contexts; "*" marks the current one',
    examples: ['mintmark context list'],
  }).action(
    action(environment, async ({ output }) => {
      const { contexts, current } = readContexts(environment)
      const rows = Object.entries(contexts).map(([name, context]) => rowOf(name, context, current))
      await output.list(rows, VIEW)
    }),
  )
  resultVerb(parent, 'use <context>', {
    summary: 'use this context from now on',
    details: 'MINTMARK_CONTEXT selects one for a single shell or command.',
    examples: ['mintmark context use prod', 'MINTMARK_CONTEXT=staging mintmark tenant list'],
  }).action(
    action<[name: string]>(environment, async ({ output }, name) => {
      const { contexts } = readContexts(environment)
      const context = existing(contexts, name)
      writeContexts(environment, { contexts, current: name })
      await output.changed(rowOf(name, context, name), VIEW, `Commands use ${context.url} from now on.`)
    }),
  )
  resultVerb(parent, 'delete <context>', {
    summary: 'delete a context and its stored token here; the token itself stays valid',
    examples: ['mintmark context delete prod'],
  }).action(
    action<[name: string]>(environment, async ({ output }, name) => {
      const before = readContexts(environment)
      existing(before.contexts, name)
      removeStoredToken(environment, name)
      const { [name]: _deleted, ...contexts } = before.contexts
      writeContexts(environment, { contexts, current: before.current === name ? null : before.current })
      await output.deleted('name', name, `Deleted the context "${name}".`)
    }),
  )
}

function rowOf(name: string, context: Context, current: string | null): Row {
  const { url, public_url = null, ca_file = null, token_command = null } = context
  return { name, current: name === current, url, public_url, ca_file, token_command }
}

function existing(contexts: Contexts['contexts'], name: string): Context {
  const found = Object.hasOwn(contexts, name) ? contexts[name] : undefined
  if (found) return found
  throw new CliError(
    EXIT.notFound,
    `there is no context "${name}": "mintmark context list" has those that exist.`,
  )
}
