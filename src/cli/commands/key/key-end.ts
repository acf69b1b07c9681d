import type { Command } from 'commander'
import { path } from '../../admin-client.ts'
import { bodyOf, endTokens, text } from '../../field-options.ts'
import { action, conditional, resultVerb } from '../../verb.ts'
import { bulkRevokeCommand } from './key-bulk-revoke.ts'
import { KEY_VIEW, type Key } from './key-view.ts'

/** How keys end: temporarily (disable, enable), or irreversibly (revoke, revoke-secret, bulk-revoke). */
export function keyEndCommands(key: Command, environment: NodeJS.ProcessEnv): void {
  const texts = {
    disable: [
      'reject exchanges until "enable"',
      'Disabled the key. Without --tokens, issued tokens stay valid until they expire.',
    ],
    enable: ['allow exchanges of a disabled key again', 'The key is enabled.'],
  } as const
  for (const [name, [summary, note]] of Object.entries(texts)) {
    const command = resultVerb(key, `${name} <key>`, {
      summary,
      examples: [`mintmark key ${name} key_7Hq2kd9XwP3mZt5B`],
    })
    if (name === 'disable') command.addOption(endTokens())
    conditional(command).action(
      action<[id: string]>(environment, async ({ admin, output }, id) => {
        const changed = await admin.post<Key>(`${path`/keys/${id}`}/${name}`, bodyOf(command))
        await output.object(changed, KEY_VIEW, note)
      }),
    )
  }
  revoke(key, environment)
  revokeSecret(key, environment)
  bulkRevokeCommand(key, environment)
}

function revoke(key: Command, environment: NodeJS.ProcessEnv): void {
  const command = resultVerb(key, 'revoke <key>', {
    summary: 'revoke a key permanently, with all its secrets',
    details:
      'No new tokens are issued, and issued ones are revoked: gateways that verify them alone accept them until they expire.',
    examples: ['mintmark key revoke key_7Hq2kd9XwP3mZt5B --reason "found in a log"'],
  }).addOption(text('reason', '--reason <text>', 'reason, stored with the key and in the audit trail'))
  conditional(command).action(
    action<[id: string]>(environment, async ({ admin, output }, id) => {
      const revoked = await admin.post<Key>(path`/keys/${id}/revoke`, bodyOf(command))
      await output.object(revoked, KEY_VIEW, `Revoked ${id}, and its issued tokens.`)
    }),
  )
}

function revokeSecret(key: Command, environment: NodeJS.ProcessEnv): void {
  const command = resultVerb(key, 'revoke-secret <key> <secret>', {
    summary: 'revoke a secret of a key at once; the key stays valid',
    details: '"mintmark key get" lists the secrets of a key.',
    examples: ['mintmark key revoke-secret key_7Hq2kd9XwP3mZt5B sec_4Kd02mXyRw8LqT1z'],
  })
  conditional(command).action(
    action<[id: string, secret: string]>(environment, async ({ admin, output }, id, secret) => {
      const changed = await admin.post<Key>(path`/keys/${id}/secrets/${secret}/revoke`)
      await output.object(changed, KEY_VIEW, `Revoked ${secret}.`)
    }),
  )
}
