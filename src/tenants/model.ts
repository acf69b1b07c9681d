import { versionOf } from '../database/version.ts'

/**
 * A name that a request may put in `model`: a base model, or a LoRA adapter on one. The engine has one namespace for
 * both, and so have we.
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
