import type { ApiKey } from '../../api-keys/api-key.ts'
import type { ApiKeys } from '../../api-keys/api-keys.ts'
import { keyTerm, obstacleTo, secretTerm, usableSecrets } from '../../api-keys/key-state.ts'
import type { Authenticator } from '../../authentication/authenticator.ts'
import type { KeyStatus, TokenHolder } from '../../directory/key-status.ts'
import { NotFound } from '../../errors.ts'
import type { RefusalReason } from '../../refusal-reasons.ts'
import { audienceObstacle, type EffectiveRights, maySend } from '../../tenants/rights.ts'
import type { Tenants } from '../../tenants/tenants.ts'
import type { DenyList } from '../../token-revocations/deny-list.ts'
import type { DeniedValue } from '../../token-revocations/token-revocation.ts'
import type { AccessTokenClaims } from '../../tokens/claims.ts'
import type { TokenReader } from '../../tokens/token-reader.ts'
import { type AppliedRule, applied, KEY_RULES, TOKEN_RULES } from './rules.ts'

/** A request to explain: for this audience and scope, with this model. */
export interface GatewayRequest {
  audience: string
  scope: string
  model: string | undefined
}

/** What an exchange and the check would do now. */
export interface Decision {
  /** Undefined: it is accepted. */
  reason: RefusalReason | undefined
  rules: AppliedRule[]
  key?: ApiKey
  /** As of when the states of the key are. Epoch milliseconds, database time. */
  at?: number
  /** The secret that was given. */
  secretId?: string
  tenantSuspended?: boolean
  /** The rights of a new token. */
  rights?: EffectiveRights
  /** Of a token with a valid signature. */
  claims?: AccessTokenClaims
  /** The entry of the deny list that ends the token. */
  revocation?: DeniedValue
}

interface Parts {
  keys: ApiKeys
  tenants: Tenants
  authenticator: Authenticator
  /** Reads tokens that are for this audience and scope. */
  tokensFor: (expected: { audience: string; scope: string }) => TokenReader
  keyStatusOf: (holder: TokenHolder) => Promise<KeyStatus>
  denyList: DenyList
  /** Database time in epoch milliseconds. */
  now: () => number
}

/**
 * Decides as the token endpoint and the check do, from what this replica knows, without issuing, counting or noting
 * anything; and reads from the database what an administrator wants to know in addition.
 */
export class Decisions {
  readonly #parts: Parts

  constructor(parts: Parts) {
    this.#parts = parts
  }

  /** Of an API key's secret. @throws {Unavailable} */
  async ofSecret(secret: string, asked: GatewayRequest): Promise<Decision> {
    const { authenticator, keys } = this.#parts
    const authentication = await authenticator.explain(secret)
    const found = await keys.inspect(secret)
    const about = found.found && (await this.#aboutKey(found.found.key))
    const rights = authentication.ok ? authentication.caller.rights : about?.rights
    const reason = authentication.ok
      ? rightsReason(authentication.caller.rights, asked)
      : authentication.reason
    return {
      ...decided(KEY_RULES, reason, asked),
      ...about,
      ...(found.found && { secretId: found.found.secretId }),
      ...(rights && { rights }),
    }
  }

  /** Of a secret that no key has. */
  unknown(asked: GatewayRequest): Decision {
    return decided(KEY_RULES, 'unknown', asked)
  }

  /** Of a key, as if its best secret were presented. @throws {NotFound} @throws {Unavailable} */
  async ofKey(id: string, asked: GatewayRequest): Promise<Decision> {
    const key = await this.#parts.keys.get(id)
    const about = await this.#aboutKey(key)
    const now = this.#parts.now()
    const [best = key.secrets[0]] = usableSecrets(key, now)
    // A key without secrets is exchanged by an assertion.
    const term = best ? secretTerm(best) : { revoked: false, endsAt: null }
    const obstacle = obstacleTo(term, keyTerm(key), { suspended: about.tenantSuspended }, now)
    const reason = obstacle ?? (about.rights && rightsReason(about.rights, asked))
    return { ...decided(KEY_RULES, reason, asked), ...about }
  }

  /** Of a token at the check. @throws {Unavailable} */
  async ofToken(jwt: string, asked: GatewayRequest): Promise<Decision> {
    const { tokensFor, now, keyStatusOf, denyList } = this.#parts
    const read = await tokensFor(asked).read(jwt, now())
    if ('fault' in read) return decided(TOKEN_RULES, read.fault, asked)
    const { claims } = read
    const status = await keyStatusOf({ keyId: claims.sub, tenantId: claims.tenant })
    const entry = denyList.entryOf(claims)
    const reason = tokenReason(status, denyList.denies(claims), claims, asked)
    return {
      ...decided(TOKEN_RULES, reason, asked),
      ...(await this.#aboutKeyOf(claims)),
      claims,
      ...(entry && { revocation: entry }),
    }
  }

  /** The entry of the deny list with this `jti`. */
  revocationOf(jti: string): DeniedValue | undefined {
    return this.#parts.denyList.contents.find(({ claim, value }) => claim === 'jti' && value === jti)
  }

  /** The tenant of a key; undefined: there is no such key. */
  async tenantOfKey(id: string): Promise<string | undefined> {
    return (await this.#find(id))?.tenantId
  }

  async #find(id: string): Promise<ApiKey | undefined> {
    try {
      return await this.#parts.keys.get(id)
    } catch (error) {
      if (error instanceof NotFound) return undefined
      throw error
    }
  }

  async #aboutKeyOf({ sub }: AccessTokenClaims) {
    const key = await this.#find(sub)
    return key && this.#aboutKey(key)
  }

  async #aboutKey(key: ApiKey) {
    const { keys, tenants } = this.#parts
    const { rights, now: at } = await keys.effective([key])
    const { suspendedAt } = await tenants.get(key.tenantId)
    const effective = rights.get(key.id)
    return { key, at, tenantSuspended: suspendedAt !== null, ...(effective && { rights: effective }) }
  }
}

const decided = (
  rules: typeof KEY_RULES,
  reason: RefusalReason | undefined,
  { model }: GatewayRequest,
): Pick<Decision, 'reason' | 'rules'> => ({
  reason,
  rules: applied(rules, reason, { asksModel: model !== undefined }),
})

function rightsReason(
  rights: EffectiveRights,
  { audience, scope, model }: GatewayRequest,
): RefusalReason | undefined {
  const obstacle = audienceObstacle(rights, audience, scope)
  if (obstacle) return obstacle
  return model === undefined || maySend(model, rights) ? undefined : 'model_not_allowed'
}

function tokenReason(
  status: KeyStatus,
  isDenied: boolean,
  claims: AccessTokenClaims,
  { model }: GatewayRequest,
): RefusalReason | undefined {
  if (status !== 'good') return status === 'revoked' ? 'key_revoked' : status
  if (isDenied) return 'token_revoked'
  return model === undefined || maySend(model, claims) ? undefined : 'model_not_allowed'
}
