import { createPrivateKey, sign } from 'node:crypto'
import { exportJWK, generateKeyPair, importJWK, SignJWT } from 'jose'

/**
 * Compares jose's SignJWT with a compact JWS (RFC 7515 §7.1) signed by node:crypto, in one process, in turns:
 *
 *   taskset -c 0 node bench/signing.ts
 *
 * Prints one JSON line: signatures per second of each, for ES256.
 */
const ROUNDS = 5
const ROUND_MS = 600
/** As many concurrent signatures as a busy server has requests. */
const AT_ONCE = 64

const claims = {
  iss: 'https://tokens.example.com',
  sub: 'key_7Hq2kd9XwP3mZt5B',
  models: ['llama-3-8b'],
  scope: 'inference',
}
const header = { alg: 'ES256', kid: 'k'.repeat(43), typ: 'at+jwt' }
const jwk = await exportJWK((await generateKeyPair('ES256', { extractable: true })).privateKey)
const joseKey = await importJWK(jwk, 'ES256')
const key = createPrivateKey({ key: jwk as import('node:crypto').webcrypto.JsonWebKey, format: 'jwk' })
const encode = (value: object) => Buffer.from(JSON.stringify(value)).toString('base64url')

const ways = {
  jose: () => new SignJWT(claims).setProtectedHeader(header).sign(joseKey),
  nodeCrypto: async () => {
    const input = `${encode(header)}.${encode(claims)}`
    const signature = sign('sha256', Buffer.from(input), { key, dsaEncoding: 'ieee-p1363' })
    return `${input}.${signature.toString('base64url')}`
  },
}

const rates: Record<keyof typeof ways, number[]> = { jose: [], nodeCrypto: [] }
for (let round = 0; round <= ROUNDS; round++) {
  for (const way of ['jose', 'nodeCrypto'] as const) {
    const perSecond = await rate(ways[way])
    if (round > 0) rates[way].push(perSecond)
  }
}
const median = (values: number[]) => values.sort((a, b) => a - b)[values.length >> 1] ?? 0
console.log(JSON.stringify({ jose: median(rates.jose), nodeCrypto: median(rates.nodeCrypto) }))

async function rate(signOnce: () => Promise<string>): Promise<number> {
  const begin = performance.now()
  let signed = 0
  while (performance.now() - begin < ROUND_MS) {
    await Promise.all(Array.from({ length: AT_ONCE }, signOnce))
    signed += AT_ONCE
  }
  return (signed / (performance.now() - begin)) * 1000
}
