/** JSON Schema of the chart's values: what Helm checks before it renders, and the source of the chart's README. */
export interface Schema {
  description?: string
  type?: string | string[]
  properties?: Record<string, Schema>
  additionalProperties?: boolean | Schema
  [keyword: string]: unknown
}

export const object = (description: string, properties: Record<string, Schema>): Schema => ({
  type: 'object',
  description,
  additionalProperties: false,
  properties,
})
export const flag = (description: string): Schema => ({ type: 'boolean', description })
export const text = (description: string, more: Schema = {}): Schema => ({
  type: 'string',
  description,
  ...more,
})
export const count = (description: string, minimum: number, maximum?: number): Schema => ({
  type: 'integer',
  description,
  minimum,
  ...(maximum !== undefined && { maximum }),
})
/** Given to Kubernetes as it is. */
export const asInKubernetes = (type: 'object' | 'array', description: string): Schema => ({
  type,
  description,
})
export const labels = (description: string): Schema => ({
  type: 'object',
  description,
  additionalProperties: { type: 'string' },
})
export const peers = (listener: string): Schema => ({
  type: 'array',
  description: `NetworkPolicy peers that reach ${listener}; empty: no pod`,
  items: { type: 'object' },
})

/** Of Kubernetes; empty where nothing is named. */
export const NAME = { pattern: '^([a-z0-9]([-a-z0-9.]*[a-z0-9])?)?$', maxLength: 253 }
/** Of a Service; empty where nothing is named. */
export const SERVICE_NAME = { pattern: '^([a-z]([-a-z0-9]*[a-z0-9])?)?$', maxLength: 63 }
export const STORAGE = { pattern: '^[0-9]+(\\.[0-9]+)?(Mi|Gi|Ti)$' }
export const SECRET_KEY = { pattern: '^[-._a-zA-Z0-9]+$' }
