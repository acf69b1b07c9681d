import type { TestService } from './test-service.ts'
import { until } from './until.ts'

/** A new key of a tenant that exists, and a token of it. On a busy machine the database may be late: 503 is repeated. */
export async function newKey(
  { admin, token }: Pick<TestService, 'admin' | 'token'>,
  tenant: string,
): Promise<{ id: string; token: string }> {
  const { body: key } = await until(
    'a key is made',
    () => admin('POST', `/tenants/${tenant}/keys`, {}),
    ({ status }) => status === 201,
  )
  const { body } = await until(
    'the key is exchanged',
    () => token({ grant_type: 'client_credentials', client_secret: key.secret }),
    ({ status }) => status === 200,
  )
  return { id: key.id, token: body.access_token }
}
