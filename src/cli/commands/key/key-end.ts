import type { Command } from 'commander'
import { path } from '../../admin-client.ts'
import { irreversible } from '../../confirmation.ts'
import { bodyOf, revokeTokens, text } from '../../field-options.ts'
import { action, changeVerb, conditional } from '../../verb.ts'
import { bulkRevokeCommand } from './key-bulk-revoke.ts'
import { KEY_VIEW, type Key } from './key-view.ts'

/** How keys end: temporarily (disable, enable), or irreversibly (revoke, revoke-secret, bulk-revoke). */
export function keyEndCommands(key: Command, environment: NodeJS.ProcessEnv): void {
  const texts = {
    disable: [
      'reject exchanges until "enable"',
      (id: string) =>
        `Disabled ${id}. Without --revoke-tokens, gateways that verify issued tokens by themselves accept them until they expire.`,
    ],
    enable: ['allow exchanges of a disabled key again', (id: string) => `Enabled ${id}.`],
  } as const
  for (const [name, [summary, note]] of Object.entries(texts)) {
    const command = changeVerb(key, `${name} <key>`, {
      summary,
      examples: [`mintmark key ${name} key_7Hq2kd9XwP3mZt5B`],
    })
    if (name === 'disable') command.addOption(revokeTokens())
    conditional(command).action(
      action<[id: string]>(environment, async ({ admin, output }, id) => {
        const changed = await admin.post<Key>(`${path`/keys/${id}`}/${name}`, bodyOf(command))
        await output.changed(changed, KEY_VIEW, note(id))
      }),
    )
  }
  revoke(key, environment)
  revokeSecret(key, environment)
  bulkRevokeCommand(key, environment)
}

function revoke(key: Command, environment: NodeJS.ProcessEnv): void {
  const command = changeVerb(key, 'revoke <key>', {
    summary: 'revoke a key permanently, with all its secrets',
    details:
      'No new tokens are issued, and issued ones are revoked: gateways without the list of revoked tokens accept them until they expire.',
    examples: ['mintmark key revoke key_7Hq2kd9XwP3mZt5B --reason "found in a log"'],
  }).addOption(text('reason', '--reason <text>', 'reason, stored with the key and in the audit trail'))
  irreversible(conditional(command)).action(
    action<[id: string]>(environment, async ({ admin, output, confirm }, id) => {
      await confirm({ warning: `This revokes the key ${id}, its secrets and its issued tokens.`, name: id })
      const revoked = await admin.post<Key>(path`/keys/${id}/revoke`, bodyOf(command))
      await output.changed(revoked, KEY_VIEW, `Revoked ${id}, and its issued tokens.`)
    }),
  )
}

function revokeSecret(key: Command, environment: NodeJS.ProcessEnv): void {
  const command = changeVerb(key, 'revoke-secret <key> <secret>', {
    summary: 'revoke a secret of a key at once; the key stays valid',
    details: '"mintmark key get" lists the secrets of a key.',
    examples: ['mintmark key revoke-secret key_7Hq2kd9XwP3mZt5B sec_4Kd02mXyRw8LqT1z'],
  })
  irreversible(conditional(command)).action(
    action<[id: string, secret: string]>(environment, async ({ admin, output, confirm }, id, secret) => {
      await confirm({ warning: `This revokes the secret ${secret} of the key ${id}.`, name: secret })
      const changed = await admin.post<Key>(path`/keys/${id}/secrets/${secret}/revoke`)
      await output.changed(changed, KEY_VIEW, `Revoked ${secret} of ${id}.`)
    }),
  )
}
