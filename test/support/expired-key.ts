import { setTimeout as sleep } from 'node:timers/promises'
import type { TestService } from './test-service.ts'

/** With less time left a key counts as expired. */
const REST_MS = 1_000
const FIRST_TRY_MS = 900

/** Sets an end of the key that is reached when it returns. On a busy machine an end may be over when the request arrives: then a later one. */
export async function expireKey({ admin }: Pick<TestService, 'admin'>, keyId: string): Promise<void> {
  for (let ms = FIRST_TRY_MS; ; ms *= 2) {
    const end = Date.now() + ms
    const { status, text } = await admin('PATCH', `/keys/${keyId}`, {
      expires_at: new Date(end).toISOString(),
    })
    if (status === 200) return sleep(Math.max(0, end - REST_MS - Date.now()))
    if (status !== 400 && status !== 503) throw new Error(text)
  }
}
