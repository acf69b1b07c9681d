import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { deployedEnvoy, startMintmark } from '../gateway-configs/environment.ts'
import { type Envoy, noEnvoy } from '../gateway-configs/envoy.ts'
import { jws, newPair } from '../identity-providers/assertions.ts'
import type { TestService } from '../support/test-service.ts'
import { lacksPython, python } from './python.ts'
import { runProgram } from './run-program.ts'
import { ANSWER, startTalkingEngine, type TalkingEngine } from './talking-engine.ts'

/**
 * Anthropic's SDKs as they are, by the environment of docs/guides/workload-identity.md alone: they exchange the token of their platform
 * at their base URL, which is deploy/envoy/envoy.yaml with the route of that guide, and ask the engine with the result.
 */
const root = new URL('../../', import.meta.url).pathname
const guide = await readFile(join(root, 'docs/guides/workload-identity.md'), 'utf8')
const [, section = ''] = guide.split("\n## Anthropic's SDKs, by environment alone\n")
const block = (language: string): string => {
  const found = new RegExp(`^~~~${language}\\n([\\s\\S]*?)^~~~`, 'm').exec(section)?.[1]
  if (!found) throw new Error(`the guide has no ${language} for Anthropic's SDKs`)
  return found
}
/** Before the other routes of the file, at their indentation. */
const FIRST_ROUTE = '                        - match: { path: /v1/chat/completions,'
const AUDIENCE = 'https://tokens.example.com'
const ISSUER = 'https://issuer.example.com'
const pair = newPair('one')

let mintmark: TestService
let engine: TalkingEngine
let envoy: Envoy
let folder: string
let credentialId: string

beforeAll(async () => {
  if (noEnvoy) return
  mintmark = await startMintmark()
  engine = await startTalkingEngine()
  const route = block('yaml')
    .split('\n')
    .map(line => line && `                        ${line}`)
    .join('\n')
  const jwks = Number(new URL(mintmark.service.urls.public).port)
  envoy = await deployedEnvoy({ jwks, upstream: engine.port }, [[FIRST_ROUTE, `${route}${FIRST_ROUTE}`]])
  folder = await mkdtemp(join(tmpdir(), 'mintmark-anthropic-'))
  await mintmark.admin('POST', '/tenants', { id: 'acme' })
  const settings = { kind: 'oidc', issuer: ISSUER, audiences: [AUDIENCE], algorithms: ['ES256'] }
  const { body } = await mintmark.admin('POST', '/identity-providers', {
    ...settings,
    jwks: { keys: [pair.jwk] },
  })
  const credential = { type: 'federated', provider: body.id, subject: 'robot' }
  const made = await mintmark.admin('POST', '/tenants/acme/workload-keys', { credential })
  const { data } = (await mintmark.admin('GET', `/keys/${made.body.key}/credentials`)).body
  credentialId = data[0].id
})
afterAll(async () => {
  await envoy?.stop()
  await engine?.stop()
  await mintmark?.stop()
  if (folder) await rm(folder, { recursive: true })
})
beforeEach(() => {
  engine?.requests.splice(0)
})

/** The environment of the guide, with the addresses of this test, and no other variable. */
async function environment(subject: string): Promise<NodeJS.ProcessEnv> {
  const file = join(folder, 'token')
  const now = Math.floor(Date.now() / 1000)
  const claims = { iss: ISSUER, aud: AUDIENCE, sub: subject, iat: now, exp: now + 600 }
  await writeFile(file, jws(pair, { alg: 'ES256', kid: 'one' }, claims))
  const changed = block('sh')
    .replace('https://inference.example.com', envoy.url)
    .replace('/var/run/secrets/mintmark/token', file)
    .replace('crd_…', credentialId)
  const given = [...changed.matchAll(/\b(ANTHROPIC_[A-Z_]+)=(\S+)/g)].map(([, name, value]) => [name, value])
  return { HOME: folder, PATH: process.env.PATH, ...Object.fromEntries(given) }
}

const QUESTION = '"model": "llama-3-8b", "max_tokens": 8, "messages": [{"role": "user", "content": "Hello"}]'
const SDK = import.meta.resolve('@anthropic-ai/sdk')
const PROGRAMS: Record<string, [program: string, args: string[], source: string]> = {
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

/** These programs load hundreds of modules: against tests that hang, on a busy machine. */
describe.skipIf(noEnvoy)("Anthropic's SDK, by environment alone", { timeout: 120_000 }, () => {
  it.each(Object.entries(PROGRAMS))(
    'in %s, is answered by the engine',
    async (language, [program, args, input]) => {
      if (language === 'Python' && lacksPython()) return
      const ended = await runProgram(program, args, { input, env: await environment('robot'), cwd: folder })
      expect(ended).toEqual({ status: 0, output: `${ANSWER}\n${ANSWER}\n`, errors: '' })
      expect(engine.requests.map(({ path }) => path.replace(/\?.*/, ''))).toEqual([
        '/v1/messages',
        '/v1/messages',
      ])
      for (const request of engine.requests) {
        expect(request.headers['x-tenant-id']).toBe('acme')
        expect(JSON.stringify(request)).not.toContain('eyJ')
      }
    },
  )

  it.each(Object.entries(PROGRAMS))(
    'in %s, fails for another subject',
    async (language, [program, args, input]) => {
      if (language === 'Python' && lacksPython()) return
      const ended = await runProgram(program, args, { input, env: await environment('other'), cwd: folder })
      expect(ended.status).not.toBe(0)
      expect(ended.errors).toMatch(/invalid_grant/)
      expect(engine.requests).toEqual([])
    },
  )
})

describe.skipIf(noEnvoy)('the route of the token endpoint', () => {
  const post = (path: string, headers: Record<string, string> = {}) =>
    fetch(envoy.url + path, {
      method: 'POST',
      headers: { 'content-type': 'application/json', ...headers },
      body: '{}',
    })

  it.each(['/v1/oauth/token/', '/v1/oauth/token/x', '/oauth/token', '/v1/oauth/revoke', '/v1/messages'])(
    'opens nothing else: %s',
    async path => {
      expect((await post(path)).status).toBe(401)
      expect(engine.requests).toEqual([])
    },
  )

  it('opens POST only', async () => {
    expect((await fetch(`${envoy.url}/v1/oauth/token`)).status).toBe(401)
  })

  it('is answered by Mintmark', async () => {
    const answer = await post('/v1/oauth/token')
    expect([answer.status, ((await answer.json()) as { error: string }).error]).toEqual([
      400,
      'unsupported_grant_type',
    ])
  })
})
