import type { Command } from 'commander'
import { path } from '../admin-client.ts'
import { irreversible } from '../confirmation.ts'
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
    remedy: string | null
  }[]
  tokens_end_within_seconds: number
  verifiers: {
    name: string
    forget_within_seconds: number
    after_failures_seconds: number | null
    remedy: string
  }[]
}

export function revokeCommand(signingKey: Command, environment: NodeJS.ProcessEnv): void {
  const command = resultVerb(signingKey, 'revoke <kid>', {
    summary: 'revoke a leaked signing key at once, permanently',
    details:
      'The standby key signs instead; verifiers know it, because it is published. The revoked key leaves the JWKS, and tokens ' +
      'signed with it are rejected as soon as verifiers fetch the JWKS. The output lists replicas and verifiers that may still use the key, and for how long.',
    examples: [
      'mintmark signing-key revoke dGhpcyBpcyBub3QgYSBrZXksIG9ubHkgYW4gZXhhbXA --reason "host was broken into"',
    ],
  }).addOption(text('reason', '--reason <text>', 'reason, stored with the key and in the audit trail'))
  irreversible(command).action(
    action<[kid: string]>(environment, async ({ admin, output, confirm }, kid) => {
      const warning = `This revokes the signing key ${kid}: all tokens that it signed are rejected.`
      await confirm({ warning, name: kid })
      const emergency = await admin.post<Emergency>(path`/signing-keys/${kid}/revoke`, bodyOf(command))
      await output.either({ text: resultText(emergency), json: emergency, id: emergency.kid })
    }),
  )
}

function resultText({ kid, published, replicas, tokens_end_within_seconds, verifiers }: Emergency): string {
  const unconfirmed = replicas.filter(replica => replica.state === 'unconfirmed')
  return [
    `Revoked ${kid} and removed it from the JWKS.`,
    ...published.flatMap(key => (key.state === 'active' ? [`Signing now: ${key.kid} (${key.alg}).`] : [])),
    '',
    `Replicas: ${replicas.length - unconfirmed.length} have confirmed that they no longer sign with it.`,
    ...unconfirmed.map(
      ({ host, seen_at, signs_until, remedy }) =>
        `  CUT OFF: ${host}, last seen ${moment(seen_at)}, may sign with it until ${moment(signs_until ?? '')}. Earlier: ${remedy}.`,
    ),
    '',
    'Verifiers accept the key until they fetch the JWKS again. Until then, anyone with the private key can forge tokens of any lifetime.',
    ...verifiers.map(verifierLine),
    `Tokens that Mintmark itself signed with it expire within ${tokens_end_within_seconds} s, and are rejected as soon as a verifier has dropped the key: clients get a 401 and must exchange again.`,
  ].join('\n')
}

function verifierLine({
  name,
  forget_within_seconds,
  after_failures_seconds,
  remedy,
}: Emergency['verifiers'][number]): string {
  const worse =
    after_failures_seconds !== null && after_failures_seconds > forget_within_seconds
      ? ` (${after_failures_seconds} s after failures, or where it is not set shorter)`
      : ''
  return `  ${name}: within ${forget_within_seconds} s${worse}. Earlier: ${remedy}.`
}
