import { spawn } from 'node:child_process'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { cliOf, MAIN, mintmark as runMintmark } from '../cli/mintmark.ts'
import { deployedEnvoy, startMintmark } from '../gateway-configs/environment.ts'
import { type Envoy, noEnvoy } from '../gateway-configs/envoy.ts'
import { childEnvironment } from '../support/child-environment.ts'
import { type RecordingUpstream, startRecordingUpstream } from '../support/recording-upstream.ts'
import type { TestService } from '../support/test-service.ts'
import { until } from '../support/until.ts'
import { createLiteLLMDatabase, type LiteLLMDatabase, specialKey } from './litellm-database.ts'
import { lacksPython, scenario } from './python.ts'

/** LiteLLM's database by its own schema and hashes, imported; its clients continue through deploy/envoy with another base URL. */
const skipped = noEnvoy || lacksPython()
let mintmark: TestService
let upstream: RecordingUpstream
let envoy: Envoy
let litellm: LiteLLMDatabase

beforeAll(async () => {
  if (skipped) return
  litellm = await createLiteLLMDatabase()
  mintmark = await startMintmark()
  await mintmark.admin('POST', '/tenants', { id: 'people' })
  upstream = await startRecordingUpstream()
  const portOf = (url: string) => Number(new URL(url).port)
  const { urls } = mintmark.service
  envoy = await deployedEnvoy(
    { jwks: portOf(urls.public), upstream: upstream.port },
    [
      ['address: mintmark, port_value: 8082', `address: 127.0.0.1, port_value: ${portOf(urls.gateway)}`],
      ['local IMPORTED_KEYS = nil', 'local IMPORTED_KEYS = "^sk%-[%w_-]+$"'],
    ],
    'envoy-api-keys.yaml',
  )
})
afterAll(async () => {
  await envoy?.stop()
  await upstream?.stop()
  await mintmark?.stop()
  await litellm?.database.drop()
})

const environment = () => ({ ...cliOf(mintmark).env, LITELLM_DATABASE_URL: litellm.database.ownerUrl })
async function runImport(...more: string[]) {
  const { code, stdout, stderr } = await runMintmark(['import', 'litellm', '-o', 'json', ...more], {
    env: environment(),
  })
  expect(code, stderr).toBe(0)
  return JSON.parse(stdout)
}
/** Notes by code, with their count. */
const noted = (report: { notes: { code: string; count: number }[] }) =>
  Object.fromEntries(report.notes.map(({ code, count }) => [code, count]))
const countOf = async (what: 'tenants' | 'keys') => {
  const [row] = await mintmark.database.asOwner<{ count: number }>(
    `SELECT count(*)::int AS count FROM ${what === 'keys' ? 'api_keys' : 'tenants'}`,
  )
  return row?.count
}
/** What OpenAI's Python client gets with this key through Envoy. */
const asked = async (key: string) =>
  (await scenario('openai_key.py', 'ask', { baseURL: `${envoy.url}/v1`, credentials: [key] }).result)[0]
/** The status through Envoy. */
const statusOf = async (key: string) => {
  const { status } = await fetch(`${envoy.url}/v1/chat/completions`, {
    method: 'POST',
    headers: { authorization: `Bearer ${key}`, 'content-type': 'application/json' },
    body: JSON.stringify({ model: 'llama-3-8b', messages: [] }),
  })
  return status
}

describe.skipIf(skipped)('40 teams and 1,000 keys of LiteLLM', () => {
  it('are only reported by a dry run', async () => {
    const report = await runImport('--dry-run')
    expect(report).toMatchObject({
      dry_run: true,
      tenants: { created: 40 },
      keys: { created: 997, refused: 0 },
    })
    expect([await countOf('tenants'), await countOf('keys')]).toEqual([1, 0])
  })

  it('are imported whole after an import that was killed', async () => {
    const child = spawn(process.execPath, [MAIN, 'import', 'litellm'], {
      env: childEnvironment(environment()),
      stdio: 'ignore',
    })
    await until('some tenants exist', async () => Number(await countOf('tenants')) >= 10)
    child.kill('SIGKILL')
    const report = await runImport('--teamless-tenant', 'people')
    expect([await countOf('tenants'), await countOf('keys')]).toEqual([41, 998])
    expect(report.keys.created + report.keys.exists).toBe(998)
    expect(noted(report)).toMatchObject({
      expired: 1,
      other_routes: 1,
      wildcard_model: 1,
      unknown_model: 1,
      'team_metadata.guardrails': 1,
      team_max_budget: 1,
      key_max_budget: 2,
      key_user_id: 1,
    })
    expect(JSON.stringify(report)).not.toMatch(/sk-[\w-]{22}/)
  })

  it("go on working through Envoy with OpenAI's client, after only its base URL was changed", async () => {
    upstream.forget()
    const { key } = litellm.keys[0] as { key: string }
    const answer = await asked(key)
    expect(answer).toEqual({
      model: 'llama-3-8b',
      chunks: expect.any(Number),
      models: ['llama-3-8b', 'acme-sql'],
      refused: 'AuthenticationError',
    })
    for (const { headers, rawHeaders } of upstream.requests) {
      expect(headers).toMatchObject({ 'x-tenant-id': 'team-0' })
      expect(JSON.stringify(rawHeaders)).not.toContain(key)
    }
  })

  it('have the rights that they had', async () => {
    const token = async (what: Parameters<typeof specialKey>[1]) => {
      const { body } = await mintmark.token({
        grant_type: 'client_credentials',
        client_secret: specialKey(litellm, what).key,
      })
      return JSON.parse(Buffer.from(body.access_token.split('.')[1], 'base64url').toString())
    }
    expect(await token('adapterOnly')).toMatchObject({ tenant: 'team-8', models: [], adapters: ['acme-sql'] })
    expect((await token('limited')).limits).toMatchObject({
      tenant: { requests: { requests_per_unit: 600 }, tokens: { requests_per_unit: 90_000 } },
      key: { requests: { requests_per_unit: 10 } },
    })
    expect((await token('budgetTable')).limits.key).toEqual({
      requests: { requests_per_unit: 30, unit: 'MINUTE' },
    })
    expect(await token('teamless')).toMatchObject({ tenant: 'people' })
    const statuses = await Promise.all(
      (['expired', 'blocked', 'management'] as const).map(what => statusOf(specialKey(litellm, what).key)),
    )
    expect(statuses).toEqual([401, 403, 401])
    // Team 3 is blocked.
    expect(await statusOf(litellm.keys[3]?.key ?? '')).toBe(403)
    expect(await statusOf(litellm.keys[0]?.key ?? '')).toBe(200)
  })

  it('are held until the tenant of a blocked team is suspended, which an interrupted import makes up for', async () => {
    const { asOwner } = litellm.database
    const [later] = await scenario('litellm_keys.py', 'keys', { count: 1 }).result
    await asOwner(`INSERT INTO "LiteLLM_TeamTable" (team_id, blocked) VALUES ('interrupted', true)`)
    await asOwner(
      `INSERT INTO "LiteLLM_VerificationToken" (token, key_alias, team_id, models) VALUES ($1, 'held', 'interrupted', '{}')`,
      [later.token],
    )
    const labels = { 'litellm/team': 'interrupted' }
    await mintmark.admin('POST', '/tenants', { id: 'interrupted', labels })
    await mintmark.admin('POST', '/tenants/interrupted/keys', {})
    expect(noted(await runImport('--teamless-tenant', 'people'))).toMatchObject({ team_blocked: 1 })
    const { data } = (await mintmark.admin('GET', '/tenants/interrupted/keys')).body
    await mintmark.admin('DELETE', '/tenants/interrupted?cascade=true')
    expect(data).toHaveLength(1)
    await mintmark.admin('POST', '/tenants', { id: 'again', labels })
    expect((await runImport('--teamless-tenant', 'people')).keys.created).toBe(1)
    expect((await mintmark.admin('GET', '/tenants/again')).body.state).toBe('suspended')
    expect(await statusOf(later.key)).toBe(403)
    await asOwner(`DELETE FROM "LiteLLM_VerificationToken" WHERE token = $1`, [later.token])
    await mintmark.admin('DELETE', '/tenants/again?cascade=true')
    await asOwner(`DELETE FROM "LiteLLM_TeamTable" WHERE team_id = 'interrupted'`)
  })

  it('are not changed by a second import', async () => {
    const report = await runImport('--teamless-tenant', 'people')
    expect(report).toMatchObject({ tenants: { created: 0 }, keys: { created: 0, exists: 998, refused: 0 } })
    expect(Object.keys(noted(report)).filter(code => code.startsWith('differs'))).toEqual([])
  })

  it('run side by side: what is new is imported, and what differs is named', async () => {
    const [made] = await scenario('litellm_keys.py', 'keys', { count: 1 }).result
    const { asOwner } = litellm.database
    await asOwner(
      `INSERT INTO "LiteLLM_VerificationToken" (token, key_alias, team_id, models) VALUES ($1, 'later', 'team-0', '{}')`,
      [made.token],
    )
    const [blocked, limited, gone] = [10, 11, 12].map(n => litellm.keys[n]?.token)
    await asOwner(`UPDATE "LiteLLM_VerificationToken" SET blocked = true WHERE token = $1`, [blocked])
    await asOwner(`UPDATE "LiteLLM_VerificationToken" SET rpm_limit = 3 WHERE token = $1`, [limited])
    await asOwner(`DELETE FROM "LiteLLM_VerificationToken" WHERE token = $1`, [gone])
    const report = await runImport('--teamless-tenant', 'people')
    expect(report.keys).toEqual({ created: 1, exists: 997, refused: 0 })
    expect(noted(report)).toMatchObject({ differs_disabled: 1, differs_limits: 1, differs_gone: 1 })
    expect(await statusOf(made.key)).toBe(200)
  })

  it('are compared with the requests in LiteLLM_SpendLogs', async () => {
    const log = (n: number, token = '', model = 'llama-3-8b') =>
      litellm.database.asOwner(
        `INSERT INTO "LiteLLM_SpendLogs" (request_id, call_type, api_key, model_group, model, "startTime", "endTime")
         VALUES ($1, 'acompletion', $2, $3, 'openai/x', now() AT TIME ZONE 'UTC', now() AT TIME ZONE 'UTC')`,
        [`request ${n}`, token, model],
      )
    await log(1, litellm.keys[0]?.token)
    await log(2, litellm.keys[0]?.token)
    await log(3, litellm.keys[0]?.token, 'gpt-x')
    // Of team 3, which is blocked.
    await log(4, litellm.keys[3]?.token)
    await log(5, specialKey(litellm, 'expired').token)
    const { code, stdout, stderr } = await runMintmark(['import', 'shadow', '-o', 'json'], {
      env: environment(),
    })
    expect(code, stderr).toBe(0)
    const verdicts = JSON.parse(stdout).map(({ verdict, requests }: Record<string, unknown>) => [
      verdict,
      requests,
    ])
    expect(new Map(verdicts)).toEqual(
      new Map([
        ['403: model not granted', 1],
        ['403: tenant suspended', 1],
        ['401: not imported', 1],
      ]),
    )
  })

  it('a database that is not of LiteLLM is named, without its password', async () => {
    const { code, stderr } = await runMintmark(['import', 'litellm'], {
      env: { ...environment(), LITELLM_DATABASE_URL: mintmark.database.ownerUrl },
    })
    expect([code, stderr]).toEqual([2, expect.stringContaining('lacks a table of LiteLLM')])
    const nowhere = 'postgres://somebody:s3cret-pass@127.0.0.1:1/litellm'
    const failed = await runMintmark(['import', 'litellm'], {
      env: { ...environment(), LITELLM_DATABASE_URL: nowhere },
    })
    expect(failed.code).toBe(6)
    expect(failed.stderr).not.toContain('s3cret-pass')
  })
})
