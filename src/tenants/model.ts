import { versionOf } from '../database/version.ts'

/**
 * A value of `model` in a request: a base model, or a LoRA adapter on one. Both share one namespace, as in the engine.
 */
export interface Model {
  name: string
  kind: 'model' | 'adapter'
  /** The base model of an adapter, null for a base model. */
  baseModel: string | null
  description: string
  createdAt: Date
  updatedAt: Date
}

export const modelVersion = (model: Model): string => versionOf(model)
