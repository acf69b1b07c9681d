import type { Command } from 'commander'
import { limitOptions, text, wholeNumber } from '../field-options.ts'
import { day } from '../output.ts'
import { catalogueCommands } from './catalogue.ts'

interface Tier {
  name: string
  priority: number
  description: string
  updated_at: string
}

export function tierCommands(program: Command, environment: NodeJS.ProcessEnv): void {
  catalogueCommands<Tier>(program, environment, {
    noun: 'tier',
    path: '/tiers',
    summary: 'service levels, each with a priority and limits',
    settings: () => [
      {
        option: wholeNumber(
          'priority',
          '--priority <n>',
          'priority in vLLM: a lower number is scheduled sooner',
        ),
        required: true,
      },
      { option: text('description', '--description <text>', 'free text for operators') },
      ...limitOptions({ flag: '<n>', help: 'of each tenant of this tier that has no limit of its own' }).map(
        option => ({ option }),
      ),
    ],
    view: {
      plural: 'tiers',
      id: tier => tier.name,
      columns: [
        { title: 'NAME', of: tier => tier.name },
        { title: 'PRIORITY', of: tier => String(tier.priority) },
        { title: 'DESCRIPTION', of: tier => tier.description, cut: true },
        { title: 'UPDATED', of: tier => day(tier.updated_at) },
      ],
    },
    example: { name: 'interactive', set: 'interactive --priority -5 --description "interactive users"' },
    setDetails: 'Tokens of its keys have the new priority and limits from their next exchange.',
    deleteDetails: 'Rejected while a tenant allows it or a key has it.',
  })
}
