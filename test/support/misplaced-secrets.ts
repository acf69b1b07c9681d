/** A secret in the places where people and programs put it by mistake. */

export const basic = (user: string, password: string) =>
  `Basic ${Buffer.from(`${user}:${password}`).toString('base64')}`

export function misplacedInForms(secret: string): string[] {
  const encoded = encodeURIComponent(secret)
  return [
    `grant_type=${encoded}&client_secret=x`,
    `grant_type=client_credentials&client_id=${encoded}&client_secret=x&scope=${encoded}&audience=${encoded}&resource=${encoded}`,
    `grant_type=client_credentials&${encoded}=${encoded}&${encoded}=1`,
  ]
}

export function misplacedInHeaders(secret: string): Record<string, string>[] {
  const encoded = encodeURIComponent(secret)
  return [
    { AUTHORIZATION: `bearer ${secret}` },
    { authorization: secret },
    { authorization: `Basic ${secret}` },
    { authorization: basic(secret, secret) },
    { authorization: `Basic ${Buffer.from(secret).toString('base64')}` },
    { 'X-API-KEY': secret },
    { 'x-Api-Key': secret, Cookie: `key=${secret}` },
    { 'User-Agent': secret, Referer: `https://x/?key=${encoded}` },
    { 'X-Request-Id': secret, 'X-Forwarded-For': secret, traceparent: secret },
    { 'content-type': secret },
    { 'content-type': `application/x-www-form-urlencoded; charset=${secret}` },
    { 'content-encoding': secret },
  ]
}

export function misplacedInJson(secret: string): string[] {
  return [
    `{"id":"${secret}`,
    secret,
    JSON.stringify(secret),
    JSON.stringify([secret]),
    JSON.stringify({ id: 'never', secret, client_secret: secret }),
    JSON.stringify({ id: 'never', [secret]: 1 }),
    JSON.stringify({ id: 'never', tier: secret }),
    JSON.stringify({ id: 'never', models: [secret] }),
    JSON.stringify({ id: 'never', adapters: [secret], allowed_tiers: [secret] }),
    JSON.stringify({ id: `${secret}!` }),
    JSON.stringify({ id: 'never', labels: { '!': secret } }),
    JSON.stringify({ id: 'never', token_ttl_seconds: secret }),
  ]
}
