import type { Command } from 'commander'
import { KEY_SETTINGS } from '../../../api-keys/key-settings.ts'
import { path } from '../../admin-client.ts'
import {
  bodyOf,
  changesOf,
  overlap,
  removedLabels,
  replaced,
  revokeTokens,
  seconds,
  unset,
} from '../../field-options.ts'
import { settingOptions, unsettable } from '../../setting-options.ts'
import { action, changeVerb, conditional, noun, repeatable, resultVerb } from '../../verb.ts'
import { keyEndCommands } from './key-end.ts'
import { keyReadCommands } from './key-read.ts'
import { type IssuedKey, KEY_VIEW, type Key, secretTexts } from './key-view.ts'

export function keyCommands(program: Command, environment: NodeJS.ProcessEnv): void {
  const key = noun(program, 'key', {
    summary: 'API keys, which clients exchange for tokens',
    examples: ['mintmark key create acme --name ci', 'mintmark key list acme'],
  })
  create(key, environment)
  keyReadCommands(key, environment)
  update(key, environment)
  rotate(key, environment)
  confirmSecret(key, environment)
  keyEndCommands(key, environment)
}

function create(key: Command, environment: NodeJS.ProcessEnv): void {
  const command = resultVerb(key, 'create <tenant>', {
    summary: 'create an API key, and print its secret once',
    details:
      'Only the secret is printed on standard output (with -o json: in the field "secret"). It cannot be shown again. A key can ' +
      'only restrict the rights of its tenant: omitted settings are inherited.',
    examples: [
      'mintmark key create acme --name ci',
      '(umask 077; mintmark key create acme --name nightly --tier batch > nightly.key)',
    ],
    quiet: 'print only the secret',
  })
  for (const option of settingOptions(KEY_SETTINGS)) command.addOption(option)
  repeatable(command).action(
    action<[tenant: string]>(environment, async ({ admin, output }, tenant) => {
      const created = await admin.post<IssuedKey>(path`/tenants/${tenant}/keys`, bodyOf(command))
      await output.secret(
        created,
        secretTexts(created, `Created ${created.id} for the tenant ${created.tenant}.`),
      )
    }),
  )
}

function update(key: Command, environment: NodeJS.ProcessEnv): void {
  const command = changeVerb(key, 'update <key>', {
    summary: 'update the given settings only',
    details: 'A given list replaces the old one.',
    examples: [
      'mintmark key update key_7Hq2kd9XwP3mZt5B --tier batch --expires-at 2027-01-31T12:00:00Z',
      'mintmark key update key_7Hq2kd9XwP3mZt5B --unset tier --unset models',
    ],
  })
  for (const option of settingOptions(KEY_SETTINGS)) command.addOption(option)
  command
    .addOption(removedLabels())
    .addOption(revokeTokens())
    .addOption(unset(unsettable(KEY_SETTINGS), 'inherit this setting from the tenant again'))
  conditional(command).action(
    action<[id: string]>(environment, async ({ admin, output }, id) => {
      const changed = await admin.patch<Key>(path`/keys/${id}`, changesOf(command))
      await output.changed(changed, KEY_VIEW, `Updated ${id}.`)
    }),
  )
}

function rotate(key: Command, environment: NodeJS.ProcessEnv): void {
  const command = resultVerb(key, 'rotate <key>', {
    summary: 'add a new secret to a key, and print it once',
    details:
      'The old secret stays valid for a day, or for --overlap-seconds. A key has at most two live secrets: with two, ' +
      '--replace selects the one to revoke now. The id does not change, so "sub" in tokens stays the same.',
    examples: [
      'mintmark key rotate key_7Hq2kd9XwP3mZt5B',
      'mintmark key rotate key_7Hq2kd9XwP3mZt5B --overlap-seconds 0',
      'mintmark key rotate key_7Hq2kd9XwP3mZt5B --replace oldest',
    ],
    quiet: 'print only the secret',
  })
    .addOption(overlap())
    .addOption(replaced())
    .addOption(
      seconds(
        'confirm_within_seconds',
        '--confirm-within-seconds <n>',
        'the overlap begins with "confirm-secret" or the first use; without them the new secret is revoked after this time',
      ),
    )
  repeatable(conditional(command)).action(
    action<[id: string]>(environment, async ({ admin, output }, id) => {
      const rotated = await admin.post<IssuedKey>(path`/keys/${id}/rotate`, bodyOf(command))
      await output.secret(
        rotated,
        secretTexts(rotated, `Rotated ${rotated.id}: the new secret is ${rotated.secret_id}.`),
      )
    }),
  )
}

function confirmSecret(key: Command, environment: NodeJS.ProcessEnv): void {
  const command = resultVerb(key, 'confirm-secret <key> <secret>', {
    summary: 'confirm the new secret of a rotation that waits',
    details: 'For "rotate --confirm-within-seconds": the overlap of the previous secret begins now.',
    examples: ['mintmark key confirm-secret key_7Hq2kd9XwP3mZt5B sec_4Kd02mXyRw8LqT1z'],
  })
  conditional(command).action(
    action<[id: string, secret: string]>(environment, async ({ admin, output }, id, secret) => {
      const changed = await admin.post<Key>(path`/keys/${id}/secrets/${secret}/confirm`)
      await output.object(changed, KEY_VIEW, `Confirmed ${secret}.`)
    }),
  )
}
