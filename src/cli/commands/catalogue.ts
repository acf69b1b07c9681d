import type { Command } from 'commander'
import { path } from '../admin-client.ts'
import { bodyOf, type FieldOption } from '../field-options.ts'
import type { View } from '../output.ts'
import { action, changeVerb, conditional, getVerb, listVerb, noun, resultVerb, show } from '../verb.ts'

/** A kind of named object that is set, not created: tiers, base models and adapters have the same four verbs. */
export interface Catalogue<T> {
  noun: string
  /** Of its list in the API. */
  path: string
  summary: string
  settings: () => { option: FieldOption; required?: boolean }[]
  view: View<T>
  /** A name, and one with its options, for the examples. */
  example: { name: string; set: string }
  setDetails: string
  deleteDetails: string
}

export function catalogueCommands<T extends { name: string }>(
  program: Command,
  environment: NodeJS.ProcessEnv,
  catalogue: Catalogue<T>,
): void {
  const parent = noun(program, catalogue.noun, {
    summary: catalogue.summary,
    examples: [`mintmark ${catalogue.noun} set ${catalogue.example.set}`, `mintmark ${catalogue.noun} list`],
  })
  set(parent, environment, catalogue)
  read(parent, environment, catalogue)
  remove(parent, environment, catalogue)
}

function set<T extends { name: string }>(
  parent: Command,
  environment: NodeJS.ProcessEnv,
  catalogue: Catalogue<T>,
): void {
  const command = changeVerb(parent, 'set <name>', {
    summary: `create or replace ${a(catalogue.noun)}`,
    details: `${catalogue.setDetails} Omitted options become empty.`,
    examples: [`mintmark ${catalogue.noun} set ${catalogue.example.set}`],
  })
  for (const { option, required } of catalogue.settings())
    command.addOption(option.makeOptionMandatory(required ?? false))
  conditional(command).action(
    action<[name: string]>(environment, async ({ admin, output }, name) => {
      const stored = await admin.put<T>(catalogue.path + path`/${name}`, bodyOf(command))
      await output.changed(stored, catalogue.view, `Set the ${catalogue.noun} ${name}.`)
    }),
  )
}

function read<T extends { name: string }>(
  parent: Command,
  environment: NodeJS.ProcessEnv,
  catalogue: Catalogue<T>,
): void {
  const all = listVerb(parent, 'list', {
    summary: `list ${catalogue.view.plural}, newest first`,
    examples: [`mintmark ${catalogue.noun} list`],
  })
  all.action(
    action(environment, async ({ admin, output }) => {
      await output.list(await admin.list<T>(catalogue.path, all.opts().limit), catalogue.view)
    }),
  )
  getVerb(parent, 'get <name>', {
    summary: `show ${a(catalogue.noun)}`,
    examples: [`mintmark ${catalogue.noun} get ${catalogue.example.name}`],
  }).action(
    action<[name: string]>(environment, (invocation, name) =>
      show<T>(invocation, catalogue.path + path`/${name}`, catalogue.view),
    ),
  )
}

function remove<T extends { name: string }>(
  parent: Command,
  environment: NodeJS.ProcessEnv,
  catalogue: Catalogue<T>,
): void {
  const command = resultVerb(parent, 'delete <name>', {
    summary: `delete ${a(catalogue.noun)}`,
    details: catalogue.deleteDetails,
    examples: [`mintmark ${catalogue.noun} delete ${catalogue.example.name}`],
  })
  conditional(command).action(
    action<[name: string]>(environment, async ({ admin, output }, name) => {
      await admin.delete(catalogue.path + path`/${name}`)
      await output.deleted('name', name, `Deleted the ${catalogue.noun} ${name}.`)
    }),
  )
}

const a = (name: string) => (/^[aeiou]/.test(name) ? `an ${name}` : `a ${name}`)
