import { z } from 'zod'
import { allLimits, toLimits } from '../../tenants/limits.ts'
import { MAX_MODEL_LEN_RANGE, type Model } from '../../tenants/model.ts'

import { PRIORITY_RANGE, type Tier } from '../../tenants/tier.ts'
import * as field from '../fields.ts'
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

const tierLimits = {
  details:
    'Default limits of the tenants of this tier: each number applies to a tenant that has not set that number itself. They are in issued tokens, and gateways enforce them.',
  whenUnset: 'no limit',
}

export const tierBody = z
  .strictObject({
    name: z.string().describe('Name of the tier.'),
    priority: z
      .int()
      .min(PRIORITY_RANGE.min)
      .max(PRIORITY_RANGE.max)
      .describe('Priority of requests in vLLM: a lower number is scheduled sooner.'),
    limits: field.answeredLimits(tierLimits.whenUnset).describe(tierLimits.details),
    ...written,
  })
  .meta({
    id: 'Tier',
    description: 'A service level: it sets the priority of requests, and limits of its tenants.',
    examples: [
      { name: 'premium', priority: -10, limits: allLimits({ requests_per_minute: 600 }), ...example },
    ],
  })

/** What `max_model_len` means, here and in requests. */
const MAX_MODEL_LEN = {
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

/** What PUT takes. */
const freeText = field.description.default('').describe('Free text for operators.')
export const tierPut = z.strictObject({
  priority: field
    .wholeNumber(PRIORITY_RANGE.min, PRIORITY_RANGE.max)
    .describe('Priority of requests in vLLM: a lower number is scheduled sooner.'),
  description: freeText,
  limits: field.limits(tierLimits.whenUnset).transform(toLimits).default({}).describe(tierLimits.details),
})
const maxModelLen = field
  .wholeNumber(MAX_MODEL_LEN_RANGE.min, MAX_MODEL_LEN_RANGE.max)
  .nullable()
  .default(null)
export const modelPut = z.strictObject({
  max_model_len: maxModelLen.describe(MAX_MODEL_LEN.model),
  description: freeText,
})
export const adapterPut = z.strictObject({
  base_model: field.modelName.describe(
    'Base model that the adapter was trained for. The base model must be registered.',
  ),
  max_model_len: maxModelLen.describe(MAX_MODEL_LEN.adapter),
  description: freeText,
})

export function tierToWire(tier: Tier) {
  const { name, priority, description, limits, createdAt, updatedAt } = tier
  const times = { created_at: createdAt, updated_at: updatedAt }
  return { name, priority, limits: allLimits(limits), description, ...times }
}

export function modelToWire({
  name,
  kind,
  baseModel,
  maxModelLen,
  description,
  createdAt,
  updatedAt,
}: Model) {
  const base = kind === 'adapter' ? { base_model: baseModel } : {}
  const times = { created_at: createdAt, updated_at: updatedAt }
  return { name, ...base, max_model_len: maxModelLen, description, ...times }
}
