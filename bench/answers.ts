import { readFile } from 'node:fs/promises'
import { decodeJwt } from 'jose'
import type { Installation } from './installation.ts'
import type { ServerProcess } from './process.ts'

export const TOKEN = '/oauth/token'
export const JWKS = '/.well-known/jwks.json'

/** What Mintmark answers, for the bare server to answer the same bytes. Headers without those that Node adds. */
export interface Answers {
  exchange: { headers: Record<string, string>; claims: { sub: string } }
  jwks: { headers: Record<string, string>; body: string }
}

/** The answers of a running Mintmark. The request id and the claims of one token stand for those of all. */
export async function answersOf(mintmark: ServerProcess, { first }: Installation): Promise<Answers> {
  const jwks = await fetch(mintmark.url + JWKS)
  const exchange = await fetch(mintmark.url + TOKEN, {
    method: 'POST',
    headers: { authorization: (await readFile(first, 'utf8')).trim() },
    body: new URLSearchParams({ grant_type: 'client_credentials' }),
  })
  const { access_token } = (await exchange.json()) as { access_token: string }
  return {
    exchange: { headers: headersOf(exchange), claims: decodeJwt<{ sub: string }>(access_token) },
    jwks: { headers: headersOf(jwks), body: await jwks.text() },
  }
}

function headersOf({ headers }: Response): Record<string, string> {
  const { date: _, connection: __, 'keep-alive': ___, ...own } = Object.fromEntries(headers)
  return own
}
