import { randomUUID } from 'node:crypto'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import pg from 'pg'
import { IDENTITY_PROVIDER, KEY_CREDENTIAL } from '../src/identity-providers/identity-seals.ts'
import { jws, newPair } from '../test/identity-providers/assertions.ts'
import { sealsOf } from '../test/support/sealed-rows.ts'
import type { Installation } from './installation.ts'

const AUDIENCE = 'https://tokens.example.com'
const ISSUER = 'https://issuer.example.com'
const TRUST_DOMAIN = 'spiffe://example.org'
const [OIDC, SPIFFE] = ['idp_0000000000000001', 'idp_0000000000000002']
const [JWT, JWT_SPIFFE] = ['jwt-bearer', 'jwt-spiffe'].map(
  name => `urn:ietf:params:oauth:client-assertion-type:${name}`,
)
const HEADER = { alg: 'ES256', kid: 'one', typ: 'JWT' }
/** Each file has assertions of this many; with fewer credentials they repeat. */
const ASSERTIONS = 10_000
/** More than a replica can exchange in a second: a client assertion is accepted once. */
const USED_A_SECOND = 6_000

/** Bodies for wrk, one a line, of an installation whose keys have a credential each. */
export interface Identities {
  tokenExchange: string
  jwtBearer: string
  sdk: string
  spiffe: string
  /** Client assertions that were not sent yet, enough for this time. */
  privateKeyJwt(seconds: number): Promise<string>
}

/** Gives each key a credential, and the first one also a SPIFFE identity and a public key. */
export async function addIdentities(
  { keys, environment }: Installation,
  owner: string,
  directory: string,
): Promise<Identities> {
  const pair = newPair('one')
  const jwks = { keys: [pair.jwk] }
  const seals = sealsOf(environment)
  const client = new pg.Client({ connectionString: owner })
  await client.connect()
  const add = async (
    table: string,
    row: Record<string, unknown>,
    seal: { sealedWith: string; seal: Buffer },
  ) => {
    const whole = { ...row, sealed_with: seal.sealedWith, seal: seal.seal }
    const places = Object.keys(whole).map((_, index) => `$${index + 1}`)
    await client.query(
      `INSERT INTO ${table} (${Object.keys(whole)}) VALUES (${places})`,
      Object.values(whole),
    )
  }
  const provider = async (id: string, kind: string, issuer: string, ownPair = pair) => {
    const sources = { jwks: { keys: [ownPair.jwk] }, jwksUri: null, caPem: null, allowAddresses: [] }
    const settings = { name: '', kind, issuer, ...sources, jwksMaxStaleSeconds: 86_400 }
    const definition = JSON.stringify({
      ...settings,
      audiences: [AUDIENCE],
      algorithms: ['ES256'],
      bounds: [],
    })
    const row = { id, definition }
    await add('identity_providers', row, seals.seal(IDENTITY_PROVIDER, row))
  }
  let credentials = 0
  const credential = async (key_id: string, provider_id: string | null, settings: object) => {
    const id = `crd_${String(++credentials).padStart(16, '0')}`
    const row = { id, key_id, provider_id, definition: JSON.stringify(settings) }
    await add('key_credentials', row, seals.seal(KEY_CREDENTIAL, row))
  }
  const federated = (providerId: string, subject: string) => ({
    ...{ type: 'federated', providerId, subject, claims: {}, allowUntrustedEvents: false },
  })
  // One key in two providers stops both.
  const spiffePair = newPair('one')
  await client.query('BEGIN')
  await provider(OIDC, 'oidc', ISSUER)
  await provider(SPIFFE, 'spiffe', TRUST_DOMAIN, spiffePair)
  for (let n = 1; n <= keys; n++) await credential(keyId(n), OIDC, federated(OIDC, `robot-${n}`))
  await credential(keyId(1), SPIFFE, federated(SPIFFE, `${TRUST_DOMAIN}/api`))
  await credential(keyId(1), null, { type: 'public_key', jwks, singleUse: 'replica' })
  await client.query('COMMIT')
  await client.end()

  const now = Math.floor(Date.now() / 1000)
  const times = { iat: now, exp: now + 3_600 }
  const numbers = Array.from({ length: ASSERTIONS }, (_, n) => n)
  const assertions = numbers.map(n =>
    jws(pair, HEADER, {
      iss: ISSUER,
      aud: AUDIENCE,
      sub: `robot-${1 + (n % keys)}`,
      jti: randomUUID(),
      ...times,
    }),
  )
  const svids = numbers.map(() =>
    jws(spiffePair, HEADER, { aud: AUDIENCE, sub: `${TRUST_DOMAIN}/api`, jti: randomUUID(), ...times }),
  )
  const file = async (name: string, lines: string[]) => {
    const path = join(directory, `${name}-${keys}-${process.hrtime.bigint()}`)
    await writeFile(path, `${lines.join('\n')}\n`)
    return path
  }
  const form = (fields: Record<string, string>) => new URLSearchParams(fields).toString()
  const grant = 'urn:ietf:params:oauth:grant-type'
  const byClient = (type: string | undefined, client_assertion: string) =>
    form({ grant_type: 'client_credentials', client_assertion_type: type ?? '', client_assertion })
  return {
    tokenExchange: await file(
      'token-exchange',
      assertions.map(subject_token =>
        form({
          grant_type: `${grant}:token-exchange`,
          subject_token_type: 'urn:ietf:params:oauth:token-type:jwt',
          subject_token,
        }),
      ),
    ),
    jwtBearer: await file(
      'jwt-bearer',
      assertions.map(assertion => form({ grant_type: `${grant}:jwt-bearer`, assertion })),
    ),
    sdk: await file(
      'sdk',
      assertions.map(assertion => JSON.stringify({ grant_type: `${grant}:jwt-bearer`, assertion })),
    ),
    spiffe: await file(
      'spiffe',
      svids.map(svid => byClient(JWT_SPIFFE, svid)),
    ),
    privateKeyJwt: seconds => {
      const at = Math.floor(Date.now() / 1000)
      const claims = {
        iss: keyId(1),
        sub: keyId(1),
        aud: environment.MINTMARK_ISSUER,
        iat: at,
        // A replica remembers 50,000 of a tenant until they expire.
        exp: at + 20,
      }
      const made = Array.from({ length: seconds * USED_A_SECOND }, () =>
        byClient(JWT, jws(pair, HEADER, { ...claims, jti: randomUUID() })),
      )
      return file('private-key-jwt', made)
    },
  }
}

const keyId = (n: number) => `key_${String(n).padStart(16, '0')}`
