import type { Command } from 'commander'
import { text, wholeNumber } from '../field-options.ts'
import { day } from '../output.ts'
import { catalogueCommands } from './catalogue.ts'

interface Adapter {
  name: string
  base_model: string
  max_model_len: number | null
  description: string
  updated_at: string
}

export function adapterCommands(program: Command, environment: NodeJS.ProcessEnv): void {
  catalogueCommands<Adapter>(program, environment, {
    noun: 'adapter',
    path: '/adapters',
    summary: 'LoRA adapters, as the engine names them',
    settings: () => [
      {
        option: text('base_model', '--base-model <name>', 'registered base model that it was trained for'),
        required: true,
      },
      {
        option: wholeNumber(
          'max_model_len',
          '--max-model-len <tokens>',
          "longest prompt and completion together, in tokens; omitted: the base model's",
        ),
      },
      { option: text('description', '--description <text>', 'free text for operators') },
    ],
    view: {
      plural: 'adapters',
      id: adapter => adapter.name,
      columns: [
        { title: 'NAME', of: adapter => adapter.name },
        { title: 'BASE MODEL', of: adapter => adapter.base_model, cut: true },
        { title: 'MAX LENGTH', of: adapter => String(adapter.max_model_len ?? '') },
        { title: 'DESCRIPTION', of: adapter => adapter.description, cut: true },
        { title: 'UPDATED', of: adapter => day(adapter.updated_at) },
      ],
    },
    example: { name: 'acme-sql', set: 'acme-sql --base-model llama-3-8b' },
    setDetails: 'A tenant can use it when its list of adapters contains it: mintmark tenant update.',
    deleteDetails: 'Rejected while a tenant or key lists it.',
  })
}
