import { createLocalJWKSet, decodeProtectedHeader, jwtVerify } from 'jose'
import { PATIENCE_MS } from '../faults/environment/environment.ts'
import { ENVIRONMENT, type Replica } from '../faults/environment/replica.ts'
import { until } from '../support/until.ts'

interface SigningKey {
  kid: string
  state: string
  activates_at: string | null
}

export const signingKeys = async (replica: Replica): Promise<SigningKey[]> =>
  (await replica.admin('GET', '/signing-keys')).body.data

/** Requests a rotation: the kid of the key that takes over, and when, in epoch milliseconds. */
export async function makeDue(replica: Replica): Promise<{ kid: string; at: number }> {
  const { status, text } = await replica.change('/signing-keys/rotate', {})
  if (status !== 200) throw new Error(`POST /signing-keys/rotate: ${status} ${text}`)
  const standby = (await signingKeys(replica)).find(({ state }) => state === 'standby')
  if (!standby?.activates_at) throw new Error('no standby has a time at which it takes over')
  return { kid: standby.kid, at: Date.parse(standby.activates_at) }
}

/** Until each replica publishes it. */
export async function published(replicas: readonly Replica[], kid: string): Promise<void> {
  for (const replica of replicas)
    await until(
      'the standby is published',
      () => jwksOf(replica),
      jwks => jwks.includes(kid),
      PATIENCE_MS,
    )
}

export const jwksOf = async ({ get, urls }: Replica): Promise<string> =>
  (await get(`${urls.public}/.well-known/jwks.json`)).text

/** A token of each replica, verified with the keys that each of the others publishes. */
export async function verifyEachOther(
  replicas: readonly Replica[],
  secret: string,
): Promise<{ verified: number; refused: number; kids: string[] }> {
  const found = { verified: 0, refused: 0, kids: [] as string[] }
  for (const issuing of replicas) {
    const token = (await issuing.exchange(secret)).body?.access_token as string
    found.kids.push(decodeProtectedHeader(token).kid ?? '')
    for (const publishing of replicas) {
      const keys = createLocalJWKSet(JSON.parse(await jwksOf(publishing)))
      await jwtVerify(token, keys, { issuer: ENVIRONMENT.MINTMARK_ISSUER, audience: 'vllm' }).then(
        () => found.verified++,
        () => found.refused++,
      )
    }
  }
  return found
}
