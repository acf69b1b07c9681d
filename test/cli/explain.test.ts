import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { startTestService, type TestService } from '../support/test-service.ts'
import { cliOf, mintmark } from './mintmark.ts'

let service: TestService
let cli: ReturnType<typeof cliOf>
let folder: string
let good: Awaited<ReturnType<TestService['tenantWithKey']>>
let revoked: typeof good
let requestId: string

beforeAll(async () => {
  service = await startTestService()
  cli = cliOf(service)
  folder = await mkdtemp(join(tmpdir(), 'mintmark-explain-'))
  good = await service.tenantWithKey({ id: 'acme' }, { name: 'ci' })
  revoked = await service.tenantWithKey({ id: 'blue' }, { name: 'nightly' })
  await service.admin('POST', `/keys/${revoked.keyId}/revoke`, { reason: 'leaked' })
  const { headers } = await exchange(revoked.secret)
  requestId = headers.get('x-request-id') ?? ''
})
afterAll(async () => {
  await service.stop()
  await rm(folder, { recursive: true })
})

const exchange = (secret: string) =>
  service.token({ grant_type: 'client_credentials', client_secret: secret })

describe('mintmark explain', () => {
  it('answers in a few lines why a key from standard input is refused, without repeating it, and exits with 3', async () => {
    const { code, stdout, stderr } = await cli.attempt(['explain'], revoked.secret)
    expect({ code, stderr }).toEqual({ code: 3, stderr: 'mintmark: refused: key_revoked.\n' })
    for (const line of [
      /^REFUSED: key_revoked \(decided by the revocation\)\nThe API key was revoked.*mintmark key create\./,
      /rules +form, known, not_revoked FAILED, \(not_expired\), \(enabled\)/,
      new RegExp(
        `key +${revoked.keyId} "nightly" of blue: revoked, revoked 20.*\\(leaked\\), secret sec_\\w+ revoked`,
      ),
      /limits +tenant: none; key: none/,
      /check +issuer https:\/\/tokens\.example\.test, audience vllm, scope inference, model: none, contract number \d+/,
      new RegExp(`401 +key_revoked +public /oauth/token +${revoked.keyId} +${requestId}`),
    ])
      expect(stdout).toMatch(line)
    expect(stdout).not.toContain(revoked.secret)
  })

  it('accepts a good key and a good token from files, also as the answer of the token endpoint', async () => {
    const file = join(folder, 'credential')
    for (const content of [good.secret, (await exchange(good.secret)).text]) {
      await writeFile(file, content)
      const { code, stdout } = await cli.attempt(['explain', '--file', file])
      expect([code, stdout]).toEqual([0, expect.stringMatching(/^Accepted\.\n/)])
    }
    expect(await cli.attempt(['explain', '--file', file, '--model', 'unknown', '-q'])).toMatchObject({
      code: 3,
      stdout: 'model_not_allowed\n',
    })
  })

  it('shows what a token of another installation says of itself, next to what the check expects', async () => {
    const claims = { iss: 'https://elsewhere.example.test', aud: 'other', exp: 1 }
    const parts = [{ alg: 'ES256', kid: 'unknown', typ: 'at+jwt' }, claims].map(part =>
      Buffer.from(JSON.stringify(part)).toString('base64url'),
    )
    const { code, stdout } = await cli.attempt(['explain'], [...parts, 'A'.repeat(86)].join('.'))
    expect(code).toBe(3)
    for (const line of [
      /^REFUSED: token_unknown_key .*\n.*compare its issuer/,
      /token +its own claims, not proven: issuer "https:\/\/elsewhere\.example\.test", audience "other", kid "unknown", expired 1970-01-01 00:00:01Z/,
      /check +issuer https:\/\/tokens\.example\.test, audience vllm/,
    ])
      expect(stdout).toMatch(line)
  })

  it('takes the id of a token that begins with "-"', async () => {
    expect(await cli.attempt(['explain', `-${'x'.repeat(21)}`])).toMatchObject({
      code: 4,
      stdout: expect.stringMatching(/^The list of revoked tokens does not have this token/),
    })
    expect(await cli.attempt(['explain', `--${'x'.repeat(19)}`])).toMatchObject({ code: 2 })
  })

  it('takes the ids of a key, a request and a token as the argument', async () => {
    expect(await cli.attempt(['explain', good.keyId])).toMatchObject({ code: 0 })
    expect(await cli.attempt(['explain', revoked.keyId, '-q'])).toMatchObject({
      code: 3,
      stdout: 'key_revoked\n',
    })
    const asked = await cli.attempt(['explain', requestId, '-o', 'json'])
    expect(asked.code).toBe(3)
    expect(JSON.parse(asked.stdout)).toMatchObject({ subject: 'request', reason: 'key_revoked' })
    const token = (await exchange(good.secret)).body.access_token
    const { jti } = JSON.parse(Buffer.from(token.split('.')[1], 'base64url').toString())
    expect(await cli.attempt(['explain', jti])).toMatchObject({
      code: 4,
      stdout: expect.stringMatching(/^The list of revoked tokens does not have this token/),
      stderr: expect.stringContaining('search the logs with --log'),
    })
  })

  it.each<[string, string[], string, RegExp]>([
    ['an argument that is no id', ['explain', 'nightly'], '', /not the id of a key/],
    ['an id and a file', ['explain', 'key_7Hq2kd9XwP3mZt5B', '--file', 'x'], '', /leave out the id/],
    ['no input', ['explain'], '', /no API key and no token/],
  ])('refuses %s', async (_, args, input, expected) => {
    expect(await cli.attempt(args, input)).toMatchObject({ code: 2, stderr: expect.stringMatching(expected) })
  })

  it('takes no credential as the argument', async () => {
    const { code, stderr } = await cli.attempt(['explain', good.secret])
    expect([code, stderr]).toEqual([2, expect.stringContaining('a key or token is on the command line')])
    expect(stderr).not.toContain(good.secret)
  })
})

describe('mintmark explain --log', () => {
  /** Lines of Mintmark as a collector writes them, of a gateway, and others. */
  const log = () =>
    [
      ...service.logs.map(line => `[pod/mintmark-0/mintmark] ${line.trim()}`),
      '{"gateway":"envoy","time":"2026-11-29T08:00:00.000Z","status":403,"reason":"not_allowed","request_id":"5d0c3a52-1111-4222-8333-444455556666"}',
      '{"gateway":"envoy","status":403,"reason":"text of a client"}',
      // As Istio writes it.
      '{"response_code":401,"response_code_details":"jwt_authn_access_denied{Jwt_is_expired}","request_id":"77777777-1111-4222-8333-444455556666","start_time":"2026-11-29T08:00:01.000Z"}',
      '{"response_code":403,"response_code_details":"ext_authz_denied","request_id":"88888888-1111-4222-8333-444455556666"}',
      // As Istio writes it in addition to the line of the file in deploy/istio.
      '{"response_code":403,"response_code_details":"ext_authz_denied","request_id":"99999999-1111-4222-8333-444455556666"}',
      '{"gateway":"istio","time":"2026-11-29T08:00:02.000Z","status":403,"reason":"key_disabled","details":"ext_authz_denied","request_id":"99999999-1111-4222-8333-444455556666"}',
      // As Caddy writes it.
      '{"level":"error","time":"2026-11-29T08:00:03Z","gateway":"http.log.access.log0","msg":"handled request","request":{"remote_ip":"192.0.2.7","uri":"/v1/chat/completions"},"reason":"secret_ended","status":401,"resp_headers":{"X-Request-Id":["aaaaaaaa-1111-4222-8333-444455556666"]}}',
      'not json {',
    ].join('\n')

  it('explains all refusals by reason, without a service', async () => {
    const { code, stdout, stderr } = await mintmark(['explain', '--log', '-'], { input: log() })
    expect(code).toBe(0)
    expect(stderr).toMatch(/^1 more were refused by the check of Mintmark \(ext_authz_denied\), whose log/)
    expect(stdout).toMatch(new RegExp(`key_revoked +1 +401 +${revoked.keyId}`))
    expect(stdout).toMatch(/not_allowed +1 +403 +-/)
    expect(stdout).toMatch(/\nkey_revoked: The API key was revoked/)
    expect(stdout).not.toContain('text of a client')
  })

  it('explains one request of the log of Mintmark or of a gateway', async () => {
    const file = join(folder, 'log')
    await writeFile(file, log())
    const one = async (id: string) =>
      JSON.parse((await mintmark(['explain', id, '--log', file, '-o', 'json'])).stdout)
    expect(await one(requestId)).toMatchObject([{ reason: 'key_revoked', key: revoked.keyId, status: 401 }])
    expect(await one('5d0c3a52-1111-4222-8333-444455556666')).toMatchObject([
      { reason: 'not_allowed', listener: 'envoy', at: '2026-11-29T08:00:00.000Z' },
    ])
    expect(await one('77777777-1111-4222-8333-444455556666')).toMatchObject([
      { reason: 'token_expired', status: 401, at: '2026-11-29T08:00:01.000Z' },
    ])
    expect(await one('99999999-1111-4222-8333-444455556666')).toMatchObject([
      { reason: 'key_disabled', listener: 'istio' },
    ])
    expect(await one('aaaaaaaa-1111-4222-8333-444455556666')).toMatchObject([
      { reason: 'secret_ended', listener: 'caddy', source: '192.0.2.7', route: '/v1/chat/completions' },
    ])
    expect((await mintmark(['explain', good.keyId, '--log', file])).code).toBe(4)
    expect((await mintmark(['explain', '--log', '/nowhere'])).code).toBe(2)
  })

  it('has the newest refusals of a long log', async () => {
    const line = (_: unknown, at: number) =>
      `{"gateway":"envoy","status":403,"reason":"not_allowed","key":"${good.keyId}","request_id":"request-${at}"}`
    const input = Array.from({ length: 20_002 }, line).join('\n')
    const { stdout } = await mintmark(['explain', good.keyId, '--log', '-', '-o', 'json'], { input })
    const ids = JSON.parse(stdout).map(({ request_id }: { request_id: string }) => request_id)
    expect([ids.length, ids[0], ids.at(-1)]).toEqual([10_000, 'request-20001', 'request-10002'])
  })

  it('takes what a gateway has no value for, empty or "-", as absent', async () => {
    const lines = ['', '-'].map(absent =>
      JSON.stringify({
        ...{ gateway: absent, time: absent, path: absent, reason: absent, status: 401 },
        ...{ request_id: absent, 'x-request-id': 'from-the-header', gateway_request_id: absent },
        ...{ source: absent, client_id: absent, key: absent, token_id: absent },
        details: 'jwt_authn_access_denied{Jwt_is_expired}',
      }),
    )
    const { code, stdout } = await mintmark(['explain', 'from-the-header', '--log', '-', '-o', 'json'], {
      input: lines.join('\n'),
    })
    const shown = {
      ...{ at: '-', listener: '-', route: '-', status: 401, reason: 'token_expired', key: null },
      ...{ request_id: 'from-the-header', gateway_request_id: null, source: null, token_id: null },
    }
    expect([code, JSON.parse(stdout)]).toMatchObject([0, [shown, shown]])
  })
})
