import { type ZodType, z } from 'zod'
import { credentialId, providerId } from '../bodies/identity-body.ts'
import { adminTokenId, keyId, reporterId, secretId, tokenRevocationId } from '../bodies/wire.ts'
import * as field from '../fields.ts'

/** A path parameter: its schema and an example. */
interface PathParameter {
  description: string
  schema: ZodType
  example: string
}

const tenant = { description: 'Id of the tenant.', schema: field.tenantId, example: 'acme' }

/** By the path that ends with the parameter. */
const PARAMETERS: Record<string, PathParameter> = {
  '/tenants/:id': tenant,
  '/tenants/:tenant': tenant,
  '/keys/:id': { description: 'Id of the key.', schema: keyId, example: 'key_7Hq2kd9XwP3mZt5B' },
  '/keys/:id/secrets/:secret': {
    description: 'Id of the secret.',
    schema: secretId,
    example: 'sec_4Rk8Lm2QvT9cXb7N',
  },
  '/keys/:id/credentials/:credential': {
    description: 'Id of the credential.',
    schema: credentialId,
    example: 'crd_8Wd2Nc6Ry4Bk9Qv1',
  },
  '/identity-providers/:id': {
    description: 'Id of the identity provider.',
    schema: providerId,
    example: 'idp_3Fh7Kd9Qx2Lm5Zt8',
  },
  '/admin-tokens/:id': {
    description: 'Id of the admin token.',
    schema: adminTokenId,
    example: 'adm_2Vb6Nc4RtY8wQk3Z',
  },
  '/usage-reporters/:id': {
    description: 'Id of the usage reporter.',
    schema: reporterId,
    example: 'rep_6Yw2Hs8KqR4nVb1C',
  },
  '/token-revocations/:id': {
    description: 'Id of the revocation.',
    schema: tokenRevocationId,
    example: 'trv_5Tg8Kp2Wm7Xc4Zr1',
  },
  '/signing-keys/:kid': {
    description: 'Key id: the RFC 7638 SHA-256 thumbprint of the signing key.',
    schema: z.string().regex(/^[\w-]{43}$/),
    example: 'NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs',
  },
  '/tiers/:name': {
    description: 'Name of the tier. Percent-encode a `/`.',
    schema: field.tierName,
    example: 'premium',
  },
  '/models/:name': {
    description: 'Name of the base model. Percent-encode a `/`.',
    schema: field.modelName,
    example: 'llama-3-8b',
  },
  '/adapters/:name': {
    description: 'Name of the adapter. Percent-encode a `/`.',
    schema: field.adapterName,
    example: 'acme-sql',
  },
}

/** The parameters of a path, in order. @throws {Error} when one is not described. */
export function pathParameters(path: string): (PathParameter & { name: string })[] {
  const parts = path.split('/')
  return parts.flatMap((part, index) => {
    if (!part.startsWith(':')) return []
    const place = parts.slice(0, index + 1).join('/')
    const found = PARAMETERS[place]
    if (!found) throw new Error(`the API's document has no description of ${place}`)
    return { ...found, name: part.slice(1) }
  })
}
