import { versionOf } from '../database/version.ts'

/**
 * A value of `model` in a request: a base model, or a LoRA adapter on one. Both share one namespace, as in the engine.
 */
export interface Model {
  name: string
  kind: 'model' | 'adapter'
  /** The base model of an adapter, null for a base model. */
  baseModel: string | null
  /** Tokens of a prompt and its completion together; null: unknown, and of an adapter: as its base model. */
  maxModelLen: number | null
  description: string
  createdAt: Date
  updatedAt: Date
}

/** What the list of models says of one, in addition to its name. Of an adapter without a length, its base model's. */
export type ModelFacts = Pick<Model, 'baseModel' | 'maxModelLen'>

export const MAX_MODEL_LEN_RANGE = { min: 1, max: 2_147_483_647 } as const

export const modelVersion = (model: Model): string => versionOf(model)
