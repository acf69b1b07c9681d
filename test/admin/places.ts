import { EXAMPLE_JWKS } from '../../src/admin/bodies/identity-body.ts'
import type { AdminRoute } from '../../src/admin/route.ts'
import type { TestService } from '../support/test-service.ts'
import { issue } from './admins.ts'

/** The path of a route with existing objects, of this tenant where they have one. Needs the model `base`. */
export async function placed(mintmark: TestService, { path }: AdminRoute, tenant: string): Promise<string> {
  const { admin } = mintmark
  const key = async () => (await admin('POST', `/tenants/${tenant}/keys`, {})).body
  if (path.startsWith('/tenants/')) return path.replace(/:id|:tenant/, tenant)
  if (path.startsWith('/keys/:id')) {
    const { id, secret_id } = await key()
    const place = path.replace(':id', id).replace(':secret', secret_id)
    if (!path.endsWith('/:credential')) return place
    const made = await admin('POST', `/keys/${id}/credentials`, { type: 'public_key', jwks: EXAMPLE_JWKS })
    return place.replace(':credential', made.body.id)
  }
  if (path.startsWith('/identity-providers/:id')) {
    const audiences = [`https://tokens.example.com/${crypto.randomUUID()}`]
    const settings = { kind: 'oidc', issuer: 'https://issuer.example.com', audiences, jwks: EXAMPLE_JWKS }
    return path.replace(':id', (await admin('POST', '/identity-providers', settings)).body.id)
  }
  if (path.startsWith('/admin-tokens/:id')) {
    const { id } = await issue(mintmark, 'tenant-admin', tenant)
    return path.replace(':id', id)
  }
  if (path.startsWith('/usage-reporters/:id')) {
    const { body } = await admin('POST', '/usage-reporters', { audiences: ['vllm'] })
    return path.replace(':id', body.id)
  }
  if (path.startsWith('/token-revocations/:id')) {
    const { body } = await admin('POST', '/token-revocations', { tenant })
    return path.replace(':id', body.id)
  }
  if (path.startsWith('/signing-keys/:kid')) {
    const { data } = (await admin('GET', '/signing-keys')).body
    const standby = data.find(({ state }: { state: string }) => state === 'standby')
    return path.replace(':kid', standby.kid)
  }
  if (path.endsWith('/:name')) {
    const kind = path.split('/')[1]
    const body = kind === 'tiers' ? { priority: 1 } : kind === 'adapters' ? { base_model: 'base' } : {}
    await admin('PUT', `/${kind}/thing-${kind}`, body)
    return path.replace(':name', `thing-${kind}`)
  }
  return path
}
