import type { LoggedUse } from './request-log.ts'

/** A key as the admin API has it, for the decision. */
export interface ShadowedKey {
  id: string
  name: string
  tenant: string
  state: string
  effective: { scopes: string[]; models: string[]; adapters: string[] }
  secrets: { state: string; imported: { client_id: string; lookup: boolean } | null }[]
}

/** What Mintmark and its gateways would answer. */
export interface Verdict {
  requests: number
  client_id: string | null
  /** null: the log does not have it. */
  model: string | null
  key: string | null
  tenant: string | null
  verdict: string
}

export const ACCEPTED = 'accepted'

/** `suspended`: ids of tenants. The order is that of the gateway: the credential first, then the model. */
export function verdictOf(
  use: LoggedUse,
  keys: ReadonlyMap<string, ShadowedKey>,
  suspended: ReadonlySet<string>,
): Verdict {
  const key = use.clientId === undefined ? undefined : keys.get(use.clientId)
  return {
    requests: use.requests,
    client_id: use.clientId ?? null,
    model: use.model ?? null,
    key: key?.id ?? null,
    tenant: key?.tenant ?? null,
    verdict: refusalOf(use, key, suspended) ?? ACCEPTED,
  }
}

function refusalOf(
  { clientId, model }: LoggedUse,
  key: ShadowedKey | undefined,
  suspended: ReadonlySet<string>,
): string | undefined {
  if (clientId === undefined) return '401: no key'
  if (!key) return '401: not imported'
  const secret = key.secrets.find(({ imported }) => imported?.client_id === clientId)
  const isUsable = secret?.imported?.lookup === true && ['live', 'ending'].includes(secret.state)
  if (key.state === 'expired' || key.state === 'revoked' || !isUsable)
    return `401: ${key.state === 'active' || key.state === 'disabled' ? 'secret ended' : key.state}`
  if (suspended.has(key.tenant)) return '403: tenant suspended'
  if (key.state === 'disabled') return '403: key disabled'
  const { scopes, models, adapters } = key.effective
  if (!scopes.includes('inference')) return '403: no scope inference'
  if (model !== undefined && !models.includes(model) && !adapters.includes(model))
    return '403: model not granted'
  return undefined
}

/** Each importable client_id of these keys. */
export const byClientId = (keys: readonly ShadowedKey[]): Map<string, ShadowedKey> =>
  new Map(
    keys.flatMap(key => key.secrets.flatMap(({ imported }) => (imported ? [[imported.client_id, key]] : []))),
  )
