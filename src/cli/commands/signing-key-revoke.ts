import type { Command } from 'commander'
import { path } from '../admin-client.ts'
import { bodyOf, text } from '../field-options.ts'
import { moment } from '../output.ts'
import { action, resultVerb } from '../verb.ts'

interface Emergency {
  kid: string
  published: { kid: string; alg: string; state: string }[]
  replicas: {
    host: string
    state: string
    seen_at: string
    signs_until: string | null
    sooner: string | null
  }[]
  tokens_end_within_seconds: number
  verifiers: {
    name: string
    forget_within_seconds: number
    after_failures_seconds: number | null
    sooner: string
  }[]
}

export function revokeCommand(signingKey: Command, environment: NodeJS.ProcessEnv): void {
  const command = resultVerb(signingKey, 'revoke <kid>', {
    summary: 'the emergency: take a key out of use at once, for good',
    details:
      'The standby signs in its place: verifiers know it, because it was published. The key leaves the JWKS, and tokens ' +
      'that were signed with it die as verifiers hear of it. What is printed says who may not have heard, and how long each goes on.',
    examples: [
      'mintmark signing-key revoke dGhpcyBpcyBub3QgYSBrZXksIG9ubHkgYW4gZXhhbXA --reason "host was broken into"',
    ],
  }).addOption(text('reason', '--reason <text>', 'kept with the key and in the audit log'))
  command.action(
    action<[kid: string]>(environment, async ({ admin, output }, kid) => {
      const emergency = await admin.post<Emergency>(path`/signing-keys/${kid}/revoke`, bodyOf(command))
      await output.either({ text: resultText(emergency), json: emergency, id: emergency.kid })
    }),
  )
}

function resultText({ kid, published, replicas, tokens_end_within_seconds, verifiers }: Emergency): string {
  const unconfirmed = replicas.filter(replica => replica.state === 'unconfirmed')
  return [
    `${kid} is revoked, and has left the JWKS.`,
    ...published.flatMap(key => (key.state === 'active' ? [`Signing now: ${key.kid} (${key.alg}).`] : [])),
    '',
    `Replicas: ${replicas.length - unconfirmed.length} have confirmed that they no longer sign with it.`,
    ...unconfirmed.map(
      ({ host, seen_at, signs_until, sooner }) =>
        `  CUT OFF: ${host}, last seen ${moment(seen_at)}, may sign with it until ${moment(signs_until ?? '')}. Sooner: ${sooner}.`,
    ),
    '',
    'Verifiers go on believing it until they fetch the JWKS again. Whoever has the private half can forge tokens of any lifetime until then.',
    ...verifiers.map(verifierLine),
    `Tokens that Mintmark itself signed with it end within ${tokens_end_within_seconds} s, and are refused as soon as a verifier has forgotten the key: their clients get a 401 and must exchange anew.`,
  ].join('\n')
}

function verifierLine({
  name,
  forget_within_seconds,
  after_failures_seconds,
  sooner,
}: Emergency['verifiers'][number]): string {
  const worse =
    after_failures_seconds !== null && after_failures_seconds > forget_within_seconds
      ? ` (${after_failures_seconds} s after failures, or where it is not set shorter)`
      : ''
  return `  ${name}: within ${forget_within_seconds} s${worse}. Sooner: ${sooner}.`
}
