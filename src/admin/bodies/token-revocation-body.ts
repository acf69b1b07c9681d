import { z } from 'zod'
import { DENIED_CLAIMS } from '../../token-revocations/token-revocation.ts'
import { enforcementBody } from './gateway-body.ts'
import { instant, keyId, tenantId, tokenRevocationId } from './wire.ts'

export const tokenRevocationBody = z
  .strictObject({
    id: tokenRevocationId.describe('Id of the revocation.'),
    claim: z
      .enum(DENIED_CLAIMS)
      .describe(
        'Claim that rejected tokens have: `jti` for one token, `key_epoch` for those of a key, `tenant_epoch` for those of a tenant.',
      ),
    value: z.string().describe('Value of the claim. Tokens that are issued from now on have another.'),
    key: keyId
      .nullable()
      .describe('Id of the key that the tokens were issued to; null: several keys, or not known.'),
    tenant: tenantId
      .nullable()
      .describe('Id of the tenant of the tokens; null: not known, because only the `jti` was given.'),
    reason: z
      .string()
      .nullable()
      .describe('Reason given at the revocation, or what revoked the tokens, like `tenant suspended`.'),
    created_at: instant.describe('Time of the revocation.'),
    ends_at: instant.describe('From this time on every revoked token has expired, and the entry is removed.'),
    enforced_by: z
      .array(enforcementBody)
      .optional()
      .describe(
        'Registered gateways, which verify tokens by themselves and receive the list of revoked tokens by xDS. The gateway check (`/check`) enforces the revocation at once. A gateway that is not listed may accept the tokens until they expire, at the latest until `ends_at`. Absent for the administrators of a tenant.',
      ),
  })
  .meta({
    id: 'TokenRevocation',
    description:
      'An entry of the list of revoked tokens: issued tokens that are rejected before they expire.',
    examples: [
      {
        id: 'trv_5Tg8Kp2Wm7Xc4Zr1',
        claim: 'key_epoch',
        value: 'x4Tq9bLm',
        key: 'key_7Hq2kd9XwP3mZt5B',
        tenant: 'acme',
        reason: 'laptop stolen',
        created_at: '2026-11-24T09:00:00.000Z',
        ends_at: '2026-11-24T09:21:00.000Z',
        enforced_by: [{ gateway: 'inference', instances: 3, enforcing: 3 }],
      },
    ],
  })

/** Of the field `token_revocation`. */
export const REVOKED_BY_REQUEST =
  'The revocation of the issued tokens, with the gateways that enforce it at this moment. Only in the response to a request that revoked issued tokens. Absent if it could not be read after the tokens were revoked. Gateways may acknowledge it later: `GET /admin/v1/token-revocations/{id}` returns the current state.'
