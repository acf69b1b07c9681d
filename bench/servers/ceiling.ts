import { createHmac, generateKeyPairSync, randomBytes, sign } from 'node:crypto'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { Answers } from '../answers.ts'

/**
 * The yardstick: a bare node:http server, as one writes it, with only the necessary work of an exchange (parse the form and the
 * header, digest the key, look it up, sign the same claims, send the same headers): no checks, no log, no database.
 *
 * A GET is answered with the JWK Set.
 *
 *   node ceiling.ts <the one API key it knows> <bench/answers.ts, as JSON>
 */
const [, , apiKey = '', answers = '{}'] = process.argv
const { exchange, jwks }: Answers = JSON.parse(answers)
const pepper = randomBytes(32)
const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
const known = new Map([[digest(apiKey), exchange.claims.sub]])
const header = encode({ alg: 'ES256', kid: randomBytes(32).toString('base64url'), typ: 'at+jwt' })

const server = createServer((req, res) => {
  if (req.method === 'GET') return void res.writeHead(200, jwks.headers).end(jwks.body)
  const chunks: Buffer[] = []
  req.on('data', (chunk: Buffer) => chunks.push(chunk))
  req.on('end', () => {
    const form = new URLSearchParams(Buffer.concat(chunks).toString())
    const basic = Buffer.from(req.headers.authorization?.slice(6) ?? '', 'base64').toString()
    const found = known.get(digest(decodeURIComponent(basic.slice(basic.indexOf(':') + 1))))
    if (!found || form.get('grant_type') !== 'client_credentials') return void res.writeHead(401).end()
    answer(
      res,
      JSON.stringify({
        access_token: token(found),
        token_type: 'Bearer',
        expires_in: 300,
        scope: 'inference',
      }),
    )
  })
})
server.listen(0, '127.0.0.1', () => {
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  console.log(JSON.stringify({ msg: 'ready', public: url }))
})

function answer(res: import('node:http').ServerResponse, body: string): void {
  res.writeHead(200, { ...exchange.headers, 'content-length': Buffer.byteLength(body) })
  res.end(body)
}

function digest(key: string): string {
  return createHmac('sha256', pepper).update(key).digest('base64')
}

function token(sub: string): string {
  const iat = Math.floor(Date.now() / 1000)
  const jti = randomBytes(16).toString('base64url')
  const claims = { ...exchange.claims, sub, client_id: sub, iat, exp: iat + 300, jti }
  const input = `${header}.${encode(claims)}`
  const signature = sign('sha256', Buffer.from(input), { key: privateKey, dsaEncoding: 'ieee-p1363' })
  return `${input}.${signature.toString('base64url')}`
}

function encode(value: object): string {
  return Buffer.from(JSON.stringify(value)).toString('base64url')
}
