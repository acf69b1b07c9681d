import { describe, expect, it } from 'vitest'
import type { Expected } from './check-contract.ts'
import type { CheckEnvironment } from './check-environment.ts'
import { send } from './client.ts'
import { EMBEDDING_BODIES, FETCHING_BODIES } from './media-cases.ts'

/** Media in bodies: the engine fetches nothing for a client, at every gateway that reads bodies. */
export function checkMedia(name: string, expected: Expected, environment: () => CheckEnvironment): void {
  const [kind] = expected.credentials
  const show = (body: string) => {
    const { secret, token } = environment().acme
    return send(environment().gateway.url, { token: kind === 'key' ? secret : token, body })
  }

  describe.skipIf(expected.absent || !expected.entitles)(
    `${name} and media that an engine would fetch`,
    () => {
      it.each(FETCHING_BODIES)('rejects %s, and names the field', async (_, body, named) => {
        const answer = await show(body)
        expect(answer.status).toBe(expected.entitles === 'by asking' ? 403 : 400)
        expect(JSON.parse(answer.text).error.message).toContain(`\`${named}\``)
        expect(environment().upstream.requests).toHaveLength(0)
      })

      it.each(EMBEDDING_BODIES)('takes %s', async (_, body) => {
        expect((await show(body)).status).toBe(200)
      })
    },
  )
}
