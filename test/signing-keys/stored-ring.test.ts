import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { request, startTestService, type TestService } from '../support/test-service.ts'

let mintmark: TestService
beforeAll(async () => {
  mintmark = await startTestService()
})
afterAll(() => mintmark.stop())

it('the JWKS is never empty, and never anything but a set of keys, even when all stored keys are deleted', async () => {
  const jwks = () => request(`${mintmark.service.urls.public}/.well-known/jwks.json`)
  await mintmark.database.asOwner(
    `WITH gone AS (DELETE FROM signing_keys),
      next AS (UPDATE change_counter SET number = number + 1 RETURNING number)
    INSERT INTO change_feed (number, changes) SELECT number, '[{"kind": "signing-keys", "id": ""}]'::jsonb FROM next`,
  )
  for (let count = 0; count < 20; count++) {
    // The last set, or from the next check on a new one.
    const { status, body } = await jwks()
    expect([status, body.keys.length]).toEqual([200, 2])
    await sleep(100)
  }
})
