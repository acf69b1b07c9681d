import { z } from 'zod'
import { SIGNING_ALGS } from '../../config/signing-alg.ts'
import { TENANT_ID } from '../../tenants/name.ts'

/**
 * bodies/ has the schema of every response on the wire: the OpenAPI document is generated from it, and tests validate
 * responses against it. It never changes a response.
 */

/** An id of this kind: a prefix and 16 characters. */
const idOf = (prefix: string) => z.string().regex(new RegExp(`^${prefix}_[0-9A-Za-z]{16}$`))

export const keyId = idOf('key')
export const secretId = idOf('sec')
export const adminTokenId = idOf('adm')
export const reporterId = idOf('rep')
export const tokenRevocationId = idOf('trv')
export const tenantId = z.string().regex(TENANT_ID)

/** RFC 3339, UTC. */
export const instant = z.iso.datetime()
export const labels = z.record(z.string(), z.string())
export const names = z.array(z.string())
export const alg = z.enum(SIGNING_ALGS)
export const count = z.int().min(0)

/** Shown only in this response. */
export const credential = (prefix: 'mmk' | 'mma' | 'mmr' | 'mmi') =>
  z.string().regex(new RegExp(`^${prefix}_[0-9A-Za-z]{16}_[0-9A-Za-z]{49}$`))

/** Replaces a secret in a replay under an Idempotency-Key. */
export const secretGone = {
  secret_available: z.literal(false).describe('Always false: only the first response contained the secret.'),
  secret_advice: z.string().describe('How to get a new secret.'),
}

/** Keys in a summary. */
export const namedKeys = z.array(
  z.strictObject({
    id: keyId.describe('Id of the key.'),
    tenant: tenantId.describe('Id of its tenant.'),
    name: z.string().describe('Display name.'),
  }),
)

/** A page of a list, newest first. */
export const page = <T extends z.ZodType>(item: T) =>
  z.strictObject({
    data: z.array(item).describe('Objects of this page, newest first.'),
    next_cursor: z
      .string()
      .nullable()
      .describe('Value of `cursor` for the next page; null on the last page.'),
  })

/** A list without paging. */
export const whole = <T extends z.ZodType>(item: T) =>
  z.strictObject({
    data: z.array(item).describe('All objects.'),
    next_cursor: z.null().describe('Always null: this list has one page.'),
  })
