import type { Command } from 'commander'
import { moment, type View } from '../output.ts'
import { action, listVerb, noun, resultVerb } from '../verb.ts'

interface SigningKey {
  kid: string
  alg: string
  state: string
  activates_at: string | null
  retires_at: string | null
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
      // This list takes no query: there are never more than a handful.
      const { data } = await admin.get<{ data: SigningKey[] }>('/signing-keys')
      await output.list(data.slice(0, all.opts().limit), VIEW)
    }),
  )
  rotate(signingKey, environment)
}

function rotate(signingKey: Command, environment: NodeJS.ProcessEnv): void {
  resultVerb(signingKey, 'rotate', {
    summary: 'let the standby key sign as soon as verifiers know it',
    details:
      'Keys rotate by themselves; this does it early. Never before the publish lead: gateways cache the JWKS, and a ' +
      'key that they have not seen would get their callers a 401.',
    examples: ['mintmark signing-key rotate'],
  }).action(
    action(environment, async ({ admin, output }) => {
      const next = await admin.post<{ kid: string; activates_at: string }>('/signing-keys/rotate')
      await output.either({
        text: `${next.kid} signs from ${moment(next.activates_at)} on.`,
        json: next,
        id: next.kid,
      })
    }),
  )
}
