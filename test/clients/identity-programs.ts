import { readFileSync } from 'node:fs'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { jws, newPair } from '../identity-providers/assertions.ts'
import { python } from './python.ts'

/** What docs/guides/workload-identity.md says of Anthropic's SDKs by environment alone. */
const guide = readFileSync(
  fileURLToPath(new URL('../../docs/guides/workload-identity.md', import.meta.url)),
  'utf8',
)
const [, section = ''] = guide.split("\n## Anthropic's SDKs, by environment alone\n")
const block = (language: string): string => {
  const found = new RegExp(`^~~~${language}\\n([\\s\\S]*?)^~~~`, 'm').exec(section)?.[1]
  if (!found) throw new Error(`the guide has no ${language} for Anthropic's SDKs`)
  return found
}

/** The first route of deploy/envoy/envoy.yaml, and the same with the guide's route before it, at its indentation. */
export function tokenRoute(): [from: string, to: string] {
  const first = '                        - match: { path: /v1/chat/completions,'
  const route = block('yaml')
    .split('\n')
    .map(line => line && `                        ${line}`)
    .join('\n')
  return [first, `${route}${first}`]
}

const AUDIENCE = 'https://tokens.example.com'
const ISSUER = 'https://issuer.example.com'
const pair = newPair('one')

// biome-ignore lint/suspicious/noExplicitAny: answers of every shape
type Admin = (method: string, path: string, body?: object) => Promise<{ body: any }>

/** Adds an issuer and a credential of tenant acme for its subject `robot`. Returns the credential's id. */
export async function addCredential(admin: Admin): Promise<string> {
  const settings = { kind: 'oidc', issuer: ISSUER, audiences: [AUDIENCE], algorithms: ['ES256'] }
  const { body } = await admin('POST', '/identity-providers', { ...settings, jwks: { keys: [pair.jwk] } })
  const credential = { type: 'federated', provider: body.id, subject: 'robot' }
  const made = await admin('POST', '/tenants/acme/workload-keys', { credential })
  const { data } = (await admin('GET', `/keys/${made.body.key}/credentials`)).body
  return data[0].id
}

/** The environment of the guide with these addresses and this subject's token, and no other variable. */
export async function environmentFor(given: {
  gateway: string
  credentialId: string
  folder: string
  subject: string
}): Promise<NodeJS.ProcessEnv> {
  const { gateway, credentialId, folder, subject } = given
  const file = join(folder, 'token')
  const now = Math.floor(Date.now() / 1000)
  const claims = { iss: ISSUER, aud: AUDIENCE, sub: subject, iat: now, exp: now + 600 }
  await writeFile(file, jws(pair, { alg: 'ES256', kid: 'one' }, claims))
  const changed = block('sh')
    .replace('https://inference.example.com', gateway)
    .replace('/var/run/secrets/mintmark/token', file)
    .replace('crd_…', credentialId)
  const variables = [...changed.matchAll(/\b(ANTHROPIC_[A-Z_]+)=(\S+)/g)].map(([, name, value]) => [
    name,
    value,
  ])
  return { HOME: folder, PATH: process.env.PATH, ...Object.fromEntries(variables) }
}

const QUESTION = '"model": "llama-3-8b", "max_tokens": 8, "messages": [{"role": "user", "content": "Hello"}]'
const SDK = import.meta.resolve('@anthropic-ai/sdk')

/** The unmodified SDKs; each asks twice, and prints both answers. */
export const PROGRAMS: Readonly<
  Record<'Python' | 'TypeScript', [program: string, args: string[], source: string]>
> = {
  Python: [
    python,
    ['-'],
    `from anthropic import Anthropic\nclient = Anthropic()\nfor _ in range(2):\n    print(client.messages.create(**{${QUESTION}}).content[0].text)\n`,
  ],
  TypeScript: [
    process.execPath,
    ['--input-type=module', '-'],
    `import { Anthropic } from '${SDK}'\nconst client = new Anthropic()\nfor (const _ of [1, 2]) console.log((await client.messages.create({${QUESTION}})).content[0].text)\n`,
  ],
}
