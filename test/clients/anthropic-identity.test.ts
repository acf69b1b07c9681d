import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { deployedEnvoy, startMintmark } from '../gateway-configs/environment.ts'
import { type Envoy, noEnvoy } from '../gateway-configs/envoy.ts'
import type { TestService } from '../support/test-service.ts'
import { addCredential, environmentFor, PROGRAMS, tokenRoute } from './identity-programs.ts'
import { lacksPython } from './python.ts'
import { runProgram } from './run-program.ts'
import { ANSWER, startTalkingEngine, type TalkingEngine } from './talking-engine.ts'

/**
 * Anthropic's SDKs as they are, by the environment of docs/guides/workload-identity.md alone: they exchange the token of their platform
 * at their base URL, which is deploy/envoy/envoy.yaml with the route of that guide, and ask the engine with the result.
 */
let mintmark: TestService
let engine: TalkingEngine
let envoy: Envoy
let folder: string
let credentialId: string

beforeAll(async () => {
  if (noEnvoy) return
  mintmark = await startMintmark()
  engine = await startTalkingEngine()
  const jwks = Number(new URL(mintmark.service.urls.public).port)
  envoy = await deployedEnvoy({ jwks, upstream: engine.port }, [tokenRoute()])
  folder = await mkdtemp(join(tmpdir(), 'mintmark-anthropic-'))
  await mintmark.admin('POST', '/tenants', { id: 'acme' })
  credentialId = await addCredential(mintmark.admin)
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

const environment = (subject: string) => environmentFor({ gateway: envoy.url, credentialId, folder, subject })

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
