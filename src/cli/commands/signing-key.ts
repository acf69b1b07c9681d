import type { Command } from 'commander'
import { path } from '../admin-client.ts'
import { bodyOf, text } from '../field-options.ts'
import { moment, type View } from '../output.ts'
import { action, changeVerb, conditional, getVerb, listVerb, noun, resultVerb, show } from '../verb.ts'
import { revokeCommand } from './signing-key-revoke.ts'

interface SigningKey {
  kid: string
  alg: string
  state: string
  activates_at: string | null
  retires_at: string | null
  held: boolean
}

interface Rewrapped {
  encryption_key: string
  rewrapped: number
  resealed: number
}

/** What still depends on an encryption key that is not the current one, by its id. */
interface Uses {
  encryption_keys: { left_on_others: Record<string, number> }
}

const VIEW: View<SigningKey> = {
  plural: 'signing keys',
  id: key => key.kid,
  columns: [
    { title: 'KID', of: key => key.kid, cut: true },
    { title: 'ALG', of: key => key.alg },
    { title: 'STATE', of: key => key.state, state: true },
    { title: 'ACTIVATES', of: key => (key.activates_at === null ? '-' : moment(key.activates_at)) },
    { title: 'RETIRES', of: key => (key.retires_at === null ? '-' : moment(key.retires_at)) },
    { title: 'HELD', of: key => (key.held ? 'yes' : '-') },
  ],
}

export function signingKeyCommands(program: Command, environment: NodeJS.ProcessEnv): void {
  const signingKey = noun(program, 'signing-key', {
    summary: 'the keys that sign tokens, published as JWKS',
    examples: ['mintmark signing-key list'],
  })
  const all = listVerb(signingKey, 'list', {
    summary: 'list the published signing keys',
    examples: ['mintmark signing-key list', 'mintmark signing-key list -o json'],
  })
  all.action(
    action(environment, async ({ admin, output }) => {
      // This list has no paging: at most ten exist.
      const { data } = await admin.get<{ data: SigningKey[] }>('/signing-keys')
      await output.list(data.slice(0, all.opts().limit), VIEW)
    }),
  )
  getVerb(signingKey, 'get <kid>', {
    summary: 'show a published signing key',
    examples: [`mintmark signing-key get ${EXAMPLE_KID}`],
  }).action(
    action<[kid: string]>(environment, (invocation, kid) =>
      show<SigningKey>(invocation, path`/signing-keys/${kid}`, VIEW),
    ),
  )
  rotate(signingKey, environment)
  holdAndRelease(signingKey, environment)
  revokeCommand(signingKey, environment)
  rewrap(signingKey, environment)
}

function rotate(signingKey: Command, environment: NodeJS.ProcessEnv): void {
  const command = resultVerb(signingKey, 'rotate', {
    summary: 'rotate: the standby key signs as soon as verifiers know it',
    details:
      'Keys rotate automatically; this does it early, but never before the publish lead: gateways cache the JWKS, and reject a ' +
      'key that they do not know with 401.',
    examples: ['mintmark signing-key rotate', 'mintmark signing-key rotate --alg RS256'],
  }).addOption(
    text('alg', '--alg <name>', 'algorithm to rotate (default: the default algorithm of the policy)'),
  )
  command.action(
    action(environment, async ({ admin, output }) => {
      const body = bodyOf(command)
      const next = await admin.post<{ kid: string; activates_at: string }>('/signing-keys/rotate', body)
      await output.either({
        text: `${next.kid} signs from ${moment(next.activates_at)}.`,
        json: next,
        id: next.kid,
      })
    }),
  )
}

function holdAndRelease(signingKey: Command, environment: NodeJS.ProcessEnv): void {
  const verbs = {
    hold: {
      summary: 'hold a key: it keeps signing, or stays published, until "release"',
      details: 'A replica without its database does not know of it, and switches as scheduled.',
      note: (kid: string) => `Held ${kid}: automatic rotation skips it until it is released.`,
    },
    release: {
      summary: 'end a hold: the key is replaced or removed as scheduled',
      note: (kid: string) => `Released ${kid}: automatic rotation continues.`,
    },
  }
  for (const [name, { note, ...help }] of Object.entries(verbs)) {
    const command = changeVerb(signingKey, `${name} <kid>`, {
      ...help,
      examples: [`mintmark signing-key ${name} ${EXAMPLE_KID}`],
    })
    conditional(command).action(
      action<[kid: string]>(environment, async ({ admin, output }, kid) => {
        const key = await admin.post<SigningKey>(`${path`/signing-keys/${kid}`}/${name}`)
        await output.changed(key, VIEW, note(kid))
      }),
    )
  }
}

function rewrap(signingKey: Command, environment: NodeJS.ProcessEnv): void {
  resultVerb(signingKey, 'rewrap', {
    summary: 're-encrypt all private keys with the first encryption key, and seal all rows again',
    details:
      'Prints what is left on other encryption keys. When nothing is, they can be removed from MINTMARK_ENCRYPTION_KEYS.',
    examples: ['mintmark signing-key rewrap'],
  }).action(
    action(environment, async ({ admin, output }) => {
      const done = await admin.post<Rewrapped>('/signing-keys/rewrap')
      const { encryption_key: id, rewrapped, resealed } = done
      const { encryption_keys: keys } = await admin.get<Uses>('/installation')
      const left = Object.entries(keys.left_on_others).map(([other, count]) => `${other}: ${count}`)
      await output.either({
        text: `Re-encrypted ${rewrapped} private keys. All are encrypted with "${id}". Sealed ${resealed} rows again.\n${leftText(left)}`,
        json: { ...done, left_on_others: keys.left_on_others },
        id,
      })
    }),
  )
}

const leftText = (left: readonly string[]) =>
  left.length === 0
    ? 'Nothing is left on other encryption keys: they can be removed.'
    : `Still on other encryption keys: ${left.join(', ')}. Repeat the command.`

const EXAMPLE_KID = 'dGhpcyBpcyBub3QgYSBrZXksIG9ubHkgYW4gZXhhbXA'
