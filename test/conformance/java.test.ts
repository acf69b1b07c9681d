import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { describe, expect, it } from 'vitest'
import { startTestService } from '../support/test-service.ts'
import { javaLibraries, lacksJava } from './java-clients.ts'
import { jsonOf } from './json-program.ts'

interface Life {
  before: object
  revoked: number
  after: object
  repeated: number
}

interface Found {
  basic: Life
  post: Life
  strangers: object[]
  wrongSecret: object
  revokedByStranger: number
  spring: Record<string, unknown>
}

describe.skipIf(lacksJava())('RFC 7009 and RFC 7662, by Java', () => {
  it('Nimbus revokes and introspects after discovery, Spring Security introspects, and strangers learn nothing', async () => {
    const mintmark = await startTestService({ env: { MINTMARK_ISSUER: '', MINTMARK_HOST: 'localhost' } })
    try {
      const other = 'https://other.example.test'
      const key = await mintmark.tenantWithKey({ audiences: ['vllm', other] })
      const tokenFor = async (more: object = {}) =>
        (await mintmark.token({ grant_type: 'client_credentials', client_secret: key.secret, ...more })).body
          .access_token as string
      const [live, revoked] = [await tokenFor(), await tokenFor()]
      const form = new URLSearchParams({ token: revoked, client_secret: key.secret })
      await fetch(`${mintmark.service.issuer}/oauth/revoke`, { method: 'POST', body: form })
      const settings = { role: 'introspector', audiences: ['vllm'] }
      const introspector = (await mintmark.admin('POST', '/admin-tokens', settings)).body
      const strangers = [revoked, await tokenFor({ audience: other }), `${live}x`, key.secret]
      const { basic, post, ...found } = await run(
        [key.secret, introspector.secret, ...strangers],
        [mintmark.service.issuer, key.keyId, introspector.id],
      )
      const identity = { sub: key.keyId, tenant: key.tenantId }
      for (const life of [basic, post])
        expect(life).toEqual({
          before: expect.objectContaining({ active: true, token_type: 'Bearer', ...identity }),
          ...{ revoked: 200, after: { active: false }, repeated: 200 },
        })
      const inactive = strangers.map(() => ({ active: false }))
      expect(found).toEqual({
        strangers: inactive,
        wrongSecret: expect.objectContaining({ error: 'invalid_client' }),
        revokedByStranger: 401,
        spring: {
          ...{ subject: key.keyId, tenant: key.tenantId },
          authorities: ['SCOPE_inference'],
          strangers: strangers.map(() => 'a bad token'),
          wrongSecret: 'no answer',
        },
      })
    } finally {
      await mintmark.stop()
    }
  }, 120_000)
})

function run(lines: string[], parameters: string[]): Promise<Found> {
  const program = fileURLToPath(new URL('java/RevocationClients.java', import.meta.url))
  return jsonOf('java', ['-cp', join(javaLibraries, '*'), program, ...parameters], lines.join('\n'))
}
