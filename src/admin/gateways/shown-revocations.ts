import { Unavailable } from '../../errors.ts'
import type { Enforcement, Gateways } from '../../token-revocations/gateways.ts'
import type { TokenRevocation } from '../../token-revocations/token-revocation.ts'
import type { TokenRevocations } from '../../token-revocations/token-revocations.ts'
import type { Admin } from '../admin-auth.ts'
import { enforcementToWire } from './gateway-routes.ts'

type EnforcementAt = ((createdAt: number) => Enforcement[]) | undefined

/** Revocations of tokens as administrators see them: with the gateways that enforce them. */
export class ShownRevocations {
  readonly #revocations: TokenRevocations
  readonly #gateways: Gateways

  constructor(options: { revocations: TokenRevocations; gateways: Gateways }) {
    this.#revocations = options.revocations
    this.#gateways = options.gateways
  }

  /** How each of several revocations is shown. */
  async present({ tenantId }: Admin): Promise<(revocation: TokenRevocation) => object> {
    // What the gateways have is not for the administrators of a tenant: they may not see the gateways.
    const enforcement = tenantId === null ? await this.#gateways.enforcement() : undefined
    return revocation => toWire(revocation, enforcement)
  }

  /**
   * The field `token_revocation` of the response to a request that revoked all tokens of a key or a tenant. Without it when it
   * cannot be read: the tokens are revoked by now, and the response must not say otherwise.
   */
  async ofEnded(
    admin: Admin,
    ended: { key: string } | { tenant: string },
  ): Promise<{ token_revocation?: object }> {
    try {
      const revocation = await this.#revocations.newestOf(ended)
      if (!revocation) return {}
      return { token_revocation: (await this.present(admin))(revocation) }
    } catch (error) {
      if (error instanceof Unavailable) return {}
      throw error
    }
  }
}

const toWire = (revocation: TokenRevocation, enforcement: EnforcementAt) => ({
  id: revocation.id,
  claim: revocation.claim,
  value: revocation.value,
  key: revocation.keyId,
  tenant: revocation.tenantId,
  reason: revocation.reason,
  created_at: revocation.createdAt,
  ends_at: revocation.endsAt,
  ...(enforcement && {
    enforced_by: enforcement(revocation.createdAt.getTime()).map(enforcementToWire),
  }),
})
