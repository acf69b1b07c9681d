import { z } from 'zod'
import { PRIORITY_RANGE } from '../../tenants/tier.ts'
import { instant } from './wire.ts'

const written = {
  description: z.string().describe('Free text for operators.'),
  created_at: instant.describe('Time of creation.'),
  updated_at: instant.describe('Time of the last change.'),
}
const example = {
  description: '',
  created_at: '2026-11-24T09:00:00.000Z',
  updated_at: '2026-11-24T09:00:00.000Z',
}

export const tierBody = z
  .strictObject({
    name: z.string().describe('Name of the tier.'),
    priority: z
      .int()
      .min(PRIORITY_RANGE.min)
      .max(PRIORITY_RANGE.max)
      .describe('Priority of requests in vLLM: a lower number is scheduled sooner.'),
    ...written,
  })
  .meta({
    id: 'Tier',
    description: 'A service level: it sets the priority of requests.',
    examples: [{ name: 'premium', priority: -10, ...example }],
  })

/** What `max_model_len` means, here and in requests. */
export const MAX_MODEL_LEN = {
  model:
    'Longest prompt and completion together, in tokens, as the engine reports it. Clients read it in `GET /v1/models`. null: unknown.',
  adapter:
    'Longest prompt and completion together, in tokens. Clients read it in `GET /v1/models`. null: that of the base model.',
}

export const modelBody = z
  .strictObject({
    name: z.string().describe('Name of the base model.'),
    max_model_len: z.int().nullable().describe(MAX_MODEL_LEN.model),
    ...written,
  })
  .meta({
    id: 'Model',
    description: 'A base model that the engines serve.',
    examples: [{ name: 'llama-3-8b', max_model_len: 131_072, ...example }],
  })

export const adapterBody = z
  .strictObject({
    name: z.string().describe('Name of the adapter.'),
    base_model: z.string().describe('Base model that the adapter was trained for.'),
    max_model_len: z.int().nullable().describe(MAX_MODEL_LEN.adapter),
    ...written,
  })
  .meta({
    id: 'Adapter',
    description: 'A LoRA adapter that the engines serve.',
    examples: [{ name: 'acme-sql', base_model: 'llama-3-8b', max_model_len: null, ...example }],
  })
