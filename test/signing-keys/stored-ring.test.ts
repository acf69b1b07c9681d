import { afterAll, beforeAll, expect, it } from 'vitest'
import { onlyPromptedClock } from '../support/adjustable-clock.ts'
import { request, startTestService, type TestService } from '../support/test-service.ts'
import { until } from '../support/until.ts'

/** Rotation runs every ten seconds. */
const clock = onlyPromptedClock(10_000)

let mintmark: TestService
beforeAll(async () => {
  mintmark = await startTestService({ overrides: { clock } })
})
afterAll(() => mintmark.stop())

it('the JWKS is never empty, and never anything but a set of keys, even when all stored keys are deleted', async () => {
  const seen: [status: number, keys: number][] = []
  const kids = async (): Promise<string> => {
    const { status, body } = await request(`${mintmark.service.urls.public}/.well-known/jwks.json`)
    seen.push([status, body?.keys?.length])
    return body.keys.map(({ kid }: { kid: string }) => kid).join()
  }
  const before = await kids()
  const logged = mintmark.logs.length
  await mintmark.database.asOwner(
    `WITH gone AS (DELETE FROM signing_keys),
      next AS (UPDATE change_counter SET number = number + 1 RETURNING number)
    INSERT INTO change_feed (number, changes) SELECT number, '[{"kind": "signing-keys", "id": ""}]'::jsonb FROM next`,
  )
  const noneIsRead = async () => {
    await kids()
    return mintmark.logs.slice(logged).join('').includes('No signing key is stored yet')
  }
  await until('it has read that there is none, and keeps the last set', noneIsRead)
  await clock.runJobs()
  await until('there is a new set', kids, now => now !== before)
  expect(seen.filter(([status, keys]) => status !== 200 || keys !== 2)).toEqual([])
})
