import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { parseAllDocuments, stringify } from 'yaml'
import { fetchDenied } from '../../../src/cli/sync/denied-list.ts'
import {
  MOST_ENTRIES,
  NO_ENTRY,
  withEntries,
  writtenEntries,
} from '../../../src/cli/sync/revocation-policy.ts'
import { SmallApiServer } from '../../istiod/small-api-server.ts'
import { TcpProxy } from '../../support/tcp-proxy.ts'
import { startTestService, type TestService } from '../../support/test-service.ts'
import { mintmark as run } from '../mintmark.ts'

/** `mintmark sync --revocations`: from a running Mintmark to an API server. */

const TOKEN = 's'.repeat(32)
const PATH = '/apis/security.istio.io/v1/namespaces/istio-system/authorizationpolicies/mintmark-revocations'

let folder: string
let service: TestService
let api: { url: string; stop: () => void }
let proxy: TcpProxy & { url: string }
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'mintmark-revocations-'))
  service = await startTestService({
    env: { MINTMARK_ISSUER: '', MINTMARK_XDS_TOKENS: `istio:${TOKEN}`, MINTMARK_XDS_PORT: '0' },
  })
  proxy = await TcpProxy.before(`http://127.0.0.1:${service.service.addresses.xds?.port}`)
  api = await new SmallApiServer(join(folder, 'objects')).start()
  const { issuer } = service.service
  await write('istio.yaml', {
    apiVersion: 'security.istio.io/v1',
    kind: 'RequestAuthentication',
    metadata: { name: 'mintmark', namespace: 'istio-system' },
    spec: { jwtRules: [{ issuer, jwksUri: `${service.service.urls.public}/.well-known/jwks.json` }] },
  })
  await write('policy.yaml', policy('DENY'))
  await write('allow.yaml', policy('ALLOW'))
  await write('kubeconfig', {
    'current-context': 'one',
    contexts: [{ name: 'one', context: { cluster: 'c', user: 'u', namespace: 'mintmark' } }],
    clusters: [{ name: 'c', cluster: { server: api.url } }],
    users: [{ name: 'u', user: { token: 't' } }],
  })
})
afterEach(() => proxy.become('none'))
afterAll(async () => {
  api.stop()
  await proxy.close()
  await service.stop()
  await rm(folder, { recursive: true })
})

const write = (name: string, object: object) => writeFile(join(folder, name), stringify(object))
const policy = (action: string) => ({
  apiVersion: 'security.istio.io/v1',
  kind: 'AuthorizationPolicy',
  metadata: { name: 'mintmark-revocations', namespace: 'istio-system' },
  // What holds until the first round.
  spec: { selector: { matchLabels: { istio: 'ingressgateway' } }, action, rules: [{}] },
})

const sync = (more: string[] = [], { token = TOKEN, file = 'policy.yaml' } = {}) => {
  const args = ['--issuer', service.service.issuer, '--istio', join(folder, 'istio.yaml')]
  const where = ['--kubeconfig', join(folder, 'kubeconfig'), '--once']
  const list = ['--revocations', join(folder, file), '--xds', proxy.url]
  return run(['sync', ...args, ...where, ...list, ...more], { env: { MINTMARK_XDS_TOKEN: token } })
}
const access = () => ({ url: new URL(proxy.url), token: TOKEN, ca: undefined })
// biome-ignore lint/suspicious/noExplicitAny: an object of Istio
const object = async (): Promise<any> => (await fetch(api.url + PATH)).json()
const valuesOf = async (claim: string): Promise<string[]> => {
  const rules: { when: { key: string; values: string[] }[] }[] = (await object()).spec.rules
  return rules.flatMap(({ when }) =>
    when.flatMap(({ key, values }) => (key === `request.auth.claims[${claim}]` ? values : [])),
  )
}

describe('mintmark sync --revocations', () => {
  it('writes a policy that denies nothing while nothing is revoked', async () => {
    const { code, stdout, stderr } = await sync()
    expect([code, stderr]).toEqual([0, ''])
    expect(stdout).toContain('AuthorizationPolicy istio-system/mintmark-revocations written')
    expect(await object()).toMatchObject({
      metadata: { annotations: { 'mintmark/revocations-version': expect.stringMatching(/^\d{13}$/) } },
      spec: { selector: { matchLabels: { istio: 'ingressgateway' } }, action: 'DENY' },
    })
    // Istio rejects a policy that denies and has no rules (test/revocations/istio.ts, on a real istiod).
    expect((await object()).spec.rules).toEqual([NO_ENTRY])
    expect((await sync()).stdout).toContain('mintmark-revocations unchanged')
  })

  it('writes what is revoked, as exact values of claims', async () => {
    const mine = await service.tenantWithKey()
    const token = (await service.token({ grant_type: 'client_credentials', client_secret: mine.secret })).body
    const claims = JSON.parse(Buffer.from(token.access_token.split('.')[1], 'base64url').toString())
    await service.admin('POST', '/token-revocations', { jti: claims.jti })
    await service.admin('POST', '/token-revocations', { key: mine.keyId })
    await service.admin('POST', `/tenants/${mine.tenantId}/suspend`)
    expect((await sync()).code).toBe(0)
    expect(await valuesOf('jti')).toEqual([claims.jti])
    expect(await valuesOf('key_epoch')).toEqual([claims.key_epoch])
    expect(await valuesOf('tenant_epoch')).toEqual([claims.tenant_epoch])
    const { entries } = await fetchDenied(access(), new AbortController().signal)
    const tenants = Object.fromEntries(entries.map(({ claim, tenant }) => [claim, tenant]))
    expect(tenants).toEqual({ jti: null, key_epoch: mine.tenantId, tenant_epoch: mine.tenantId })
  })

  it('keeps the entries while Mintmark is unreachable', async () => {
    const before = await object()
    await proxy.become('refuse')
    const { code, stderr } = await sync()
    expect([code, stderr]).toEqual([
      6,
      expect.stringContaining('The list of revoked tokens at http://127.0.0.1'),
    ])
    expect(await object()).toEqual(before)
  })

  it('has the same fault while Mintmark does not answer', async () => {
    await proxy.become('freeze')
    await expect(fetchDenied(access(), new AbortController().signal, 100)).rejects.toMatchObject({
      reason: 'list_unavailable',
      message: expect.stringContaining('does not answer within 0.1 seconds'),
    })
  })

  it('writes nothing with a wrong token, and says which variable', async () => {
    const { code, stderr } = await sync([], { token: 'x'.repeat(32) })
    expect([code, stderr]).toEqual([6, expect.stringContaining('does not accept MINTMARK_XDS_TOKEN')])
    expect(stderr).not.toContain('xxxx')
  })

  it('writes no older list over a newer one, unless it is told to', async () => {
    const later = String(Date.now() + 3_600_000)
    const live = await object()
    const metadata = { ...live.metadata, annotations: { 'mintmark/revocations-version': later } }
    await fetch(api.url + PATH, {
      method: 'PUT',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ ...live, metadata, spec: { ...live.spec, rules: [] } }),
    })
    const { code, stderr } = await sync()
    expect([code, stderr]).toEqual([5, expect.stringContaining('Nothing was written')])
    expect((await object()).spec.rules).toEqual([])
    expect((await sync(['--allow-older'])).code).toBe(0)
    expect(await valuesOf('jti')).toHaveLength(1)
  })

  it.each([
    ['a policy that allows', { file: 'allow.yaml' }, [], 'must have the action DENY'],
    ['a file without a policy', { file: 'istio.yaml' }, [], 'has no AuthorizationPolicy'],
    ['a URL that is none', {}, ['--xds', 'mintmark:8086'], 'needs --xds with the URL'],
  ])('rejects %s', async (_, given, more, message) => {
    const { code, stderr } = await sync(more, given)
    expect([code, stderr]).toEqual([2, expect.stringContaining(message)])
  })
})

it('deploy/istio/sync/sync.yaml has it, once "# revocations " is removed', async () => {
  const text = await readFile(new URL('../../../deploy/istio/sync/sync.yaml', import.meta.url), 'utf8')
  const objects = parseAllDocuments(text.replaceAll('# revocations ', '')).map(each => each.toJS({}))
  const role = objects.find(({ kind, metadata }) => kind === 'Role' && metadata.namespace === 'istio-system')
  expect(role.rules.map(({ resourceNames }: { resourceNames: string[] }) => resourceNames)).toEqual([
    ['mintmark'],
    ['mintmark-revocations'],
  ])
  const { containers, volumes } = objects.find(({ kind }) => kind === 'Deployment').spec.template.spec
  expect(containers[0].args).toContain('--revocations=/etc/mintmark/istio/revocations.yaml')
  expect(containers[0].volumeMounts.map(({ name }: { name: string }) => name)).toEqual(
    volumes.map(({ name }: { name: string }) => name),
  )
  expect(containers[0].env[0].name).toBe('MINTMARK_XDS_TOKEN_FILE')
})

describe('a list that is too long', () => {
  const entries = (claim: string, count: number) =>
    Array.from({ length: count }, (_, n) => ({ claim, value: `${claim}-${n}`, tenant: 'acme', endsAt: n }))
  const list = {
    version: 1,
    entries: [...entries('jti', MOST_ENTRIES), ...entries('key_epoch', 2), ...entries('tenant_epoch', 1)],
  }

  it('is cut: entries of tenants and keys first, then the newest', () => {
    const written = writtenEntries(list)
    expect(written).toHaveLength(MOST_ENTRIES)
    expect(written.slice(0, 4).map(({ value }) => value)).toEqual([
      'tenant_epoch-0',
      'key_epoch-1',
      'key_epoch-0',
      `jti-${MOST_ENTRIES - 1}`,
    ])
    expect(written.some(({ value }) => value === 'jti-0')).toBe(false)
  })

  it('has a fair share of each tenant: none pushes out the entries of another', () => {
    const of = (tenant: string | null, claim: string, count: number) =>
      entries(claim, count).map(entry => ({ ...entry, value: `${tenant}-${entry.value}`, tenant }))
    const others = [...of('calm', 'jti', 60), ...of('small', 'key_epoch', 2), ...of(null, 'jti', 3)]
    const written = writtenEntries({
      version: 1,
      entries: [
        ...of('loud', 'tenant_epoch', MOST_ENTRIES),
        ...of('second', 'key_epoch', MOST_ENTRIES),
        ...others,
      ],
    })
    const count = (name: string) => written.filter(({ tenant }) => tenant === name).length
    expect(written).toHaveLength(MOST_ENTRIES)
    for (const { value } of others) expect(written.map(entry => entry.value)).toContain(value)
    // What the others leave is halved between the two that have more, and each keeps its newest.
    expect(Math.abs(count('loud') - count('second'))).toBeLessThanOrEqual(1)
    expect(written.some(({ value }) => value === `loud-tenant_epoch-${MOST_ENTRIES - 1}`)).toBe(true)
    expect(written.some(({ value }) => value === 'loud-tenant_epoch-0')).toBe(false)
  })

  it('fits into an object of Kubernetes', () => {
    const longest = { claim: 'jti', value: 'x'.repeat(64), tenant: null, endsAt: 1 }
    const target = { apiVersion: 'security.istio.io/v1', namespace: 'n', name: 'n', spec: {} }
    const { object: applied } = withEntries(target, list, Array(MOST_ENTRIES).fill(longest))
    expect(JSON.stringify(applied).length).toBeLessThan(1_000_000)
  })
})
