import type { Command } from 'commander'
import { text, wholeNumber } from '../field-options.ts'
import { day } from '../output.ts'
import { catalogueCommands } from './catalogue.ts'

interface Model {
  name: string
  max_model_len: number | null
  description: string
  updated_at: string
}

export function modelCommands(program: Command, environment: NodeJS.ProcessEnv): void {
  catalogueCommands<Model>(program, environment, {
    noun: 'model',
    path: '/models',
    summary: 'base models, as the engine names them',
    settings: () => [
      {
        option: wholeNumber(
          'max_model_len',
          '--max-model-len <tokens>',
          'longest prompt and completion together, in tokens',
        ),
      },
      { option: text('description', '--description <text>', 'free text for operators') },
    ],
    view: {
      plural: 'models',
      id: model => model.name,
      columns: [
        { title: 'NAME', of: model => model.name },
        { title: 'MAX LENGTH', of: model => String(model.max_model_len ?? '') },
        { title: 'DESCRIPTION', of: model => model.description, cut: true },
        { title: 'UPDATED', of: model => day(model.updated_at) },
      ],
    },
    example: { name: 'meta-llama/Llama-3.1-8B', set: 'meta-llama/Llama-3.1-8B --max-model-len 131072' },
    setDetails: 'Tenants without their own list of models can use it from their next exchange.',
    deleteDetails: 'Rejected while an adapter is based on it, or a tenant or key lists it.',
  })
}
