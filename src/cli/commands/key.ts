import type { Command } from 'commander'
import { KEY_SETTINGS } from '../../api-keys/key-settings.ts'
import { path } from '../admin-client.ts'
import { bodyOf, changesOf, removedLabels, text, unset, wholeNumber } from '../field-options.ts'
import { settingOptions, unsettable } from '../setting-options.ts'
import { action, conditional, noun, repeatable, resultVerb } from '../verb.ts'
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
  keyEndCommands(key, environment)
}

function create(key: Command, environment: NodeJS.ProcessEnv): void {
  const command = resultVerb(key, 'create <tenant>', {
    summary: 'make an API key, and print its secret once',
    details:
      'The secret is alone on standard output, in JSON the field "secret"; nobody can show it again. A key only ever ' +
      'narrows its tenant: what is not given is as the tenant has it.',
    examples: [
      'mintmark key create acme --name ci',
      '(umask 077; mintmark key create acme --name nightly --tier batch > nightly.key)',
    ],
    quiet: 'print only the secret',
  })
  for (const option of settingOptions(KEY_SETTINGS)) command.addOption(option)
  repeatable(command).action(
    action<[tenant: string]>(environment, async ({ admin, output }, tenant) => {
      const made = await admin.post<IssuedKey>(path`/tenants/${tenant}/keys`, bodyOf(command))
      await output.secret(made, secretTexts(made, `Created ${made.id} for the tenant ${made.tenant}.`))
    }),
  )
}

function update(key: Command, environment: NodeJS.ProcessEnv): void {
  const command = resultVerb(key, 'update <key>', {
    summary: 'change what is given, and nothing else',
    details: 'A list that is given replaces the old one.',
    examples: [
      'mintmark key update key_7Hq2kd9XwP3mZt5B --tier batch --expires-at 2027-01-31T12:00:00Z',
      'mintmark key update key_7Hq2kd9XwP3mZt5B --unset tier --unset models',
    ],
  })
  for (const option of settingOptions(KEY_SETTINGS)) command.addOption(option)
  command.addOption(removedLabels()).addOption(unset(unsettable(KEY_SETTINGS), "take the tenant's again"))
  conditional(command).action(
    action<[id: string]>(environment, async ({ admin, output }, id) => {
      const changed = await admin.patch<Key>(path`/keys/${id}`, changesOf(command))
      await output.object(changed, KEY_VIEW, `Updated ${id}.`)
    }),
  )
}

function rotate(key: Command, environment: NodeJS.ProcessEnv): void {
  const command = resultVerb(key, 'rotate <key>', {
    summary: 'give a key a new secret, and print it once',
    details:
      'The old secret goes on for a day, or for --overlap-seconds. A key has at most two live secrets: with two, ' +
      '--replace says which one ends now. The id stays, and so does "sub" in tokens.',
    examples: [
      'mintmark key rotate key_7Hq2kd9XwP3mZt5B',
      'mintmark key rotate key_7Hq2kd9XwP3mZt5B --overlap-seconds 0',
      'mintmark key rotate key_7Hq2kd9XwP3mZt5B --replace oldest',
    ],
    quiet: 'print only the secret',
  })
    .addOption(
      wholeNumber('overlap_seconds', '--overlap-seconds <n>', 'how long the old secret goes on; 0: ends now'),
    )
    .addOption(
      text('replace', '--replace <which>', 'the live secret that ends now').choices(['oldest', 'newest']),
    )
  repeatable(conditional(command)).action(
    action<[id: string]>(environment, async ({ admin, output }, id) => {
      const rotated = await admin.post<IssuedKey>(path`/keys/${id}/rotate`, bodyOf(command))
      await output.secret(
        rotated,
        secretTexts(rotated, `Gave ${rotated.id} the secret ${rotated.secret_id}.`),
      )
    }),
  )
}
