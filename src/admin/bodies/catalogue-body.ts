import { z } from 'zod'
import { PRIORITY_RANGE } from '../../tenants/tier.ts'
import { instant } from './wire.ts'

const written = { description: z.string(), created_at: instant, updated_at: instant }
const example = {
  description: '',
  created_at: '2026-11-24T09:00:00.000Z',
  updated_at: '2026-11-24T09:00:00.000Z',
}

export const tierBody = z
  .strictObject({
    name: z.string(),
    priority: z
      .int()
      .min(PRIORITY_RANGE.min)
      .max(PRIORITY_RANGE.max)
      .describe("vLLM's scale: lower is sooner."),
    ...written,
  })
  .meta({ id: 'Tier', examples: [{ name: 'premium', priority: -10, ...example }] })

export const modelBody = z
  .strictObject({ name: z.string(), ...written })
  .meta({ id: 'Model', description: 'A base model.', examples: [{ name: 'llama-3-8b', ...example }] })

export const adapterBody = z.strictObject({ name: z.string(), base_model: z.string(), ...written }).meta({
  id: 'Adapter',
  description: 'A LoRA adapter.',
  examples: [{ name: 'acme-sql', base_model: 'llama-3-8b', ...example }],
})
