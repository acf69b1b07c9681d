import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { jwksMaxAgeSeconds } from '../../../src/config/rotation-policy.ts'
import { freePort } from '../../support/free-port.ts'
import { mintmark } from '../mintmark.ts'
import {
  type Answer,
  Objects,
  type Recorded,
  type RecordingServer,
  recordingServer,
  signingKey,
  status,
} from './recording-servers.ts'

const ISSUER = 'https://tokens.example.com'
const PATH = '/apis/security.istio.io/v1/namespaces/istio-system/requestauthentications/mintmark'
const EXAMPLE = new URL('../../../deploy/istio/request-authentication.yaml', import.meta.url)
const KEYS = [signingKey(), signingKey()]
const LAST = 'kubectl.kubernetes.io/last-applied-configuration'

let folder: string
let api: RecordingServer
let issuer: RecordingServer
let objects: Objects
/** What the API server answers instead of doing what it should. */
let refuse: (request: Recorded) => Answer | 'lost' | undefined
let jwks: Answer
let istioFile: string
let kubeconfigFile: string

const maxAgeOf = (publishLeadSeconds: number) => jwksMaxAgeSeconds({ publishLeadSeconds })
const published = (keys: unknown[], changed = 'Sun, 29 Nov 2026 10:00:00 GMT'): Answer => ({
  status: 200,
  headers: { 'cache-control': 'public, max-age=300', 'last-modified': changed },
  body: { keys },
})

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'mintmark-sync-'))
  api = await recordingServer(request => refuse(request) ?? objects.answer(request))
  issuer = await recordingServer(() => jwks)
  kubeconfigFile = join(folder, 'kubeconfig')
  await writeFile(join(folder, 'token'), 'first\n')
  await writeFile(join(folder, 'istio.yaml'), await example())
  await writeFile(kubeconfigFile, kubeconfig({ tokenFile: 'token' }))
})
afterAll(async () => {
  await Promise.all([api.stop(), issuer.stop()])
  await rm(folder, { recursive: true })
})
beforeEach(() => {
  istioFile = join(folder, 'istio.yaml')
  objects = new Objects()
  refuse = () => undefined
  jwks = published(KEYS)
  api.requests.length = 0
})

async function example(): Promise<string> {
  const text = await readFile(EXAMPLE, 'utf8')
  return text.replace('http://mintmark.mintmark.svc.cluster.local:8080', issuer.url)
}

const kubeconfig = (user: object, cluster: object = {}) =>
  JSON.stringify({
    'current-context': 'one',
    contexts: [{ name: 'one', context: { cluster: 'c', user: 'u', namespace: 'mintmark' } }],
    clusters: [{ name: 'c', cluster: { server: api.url, ...cluster } }],
    users: [{ name: 'u', user }],
  })

const sync = (...options: string[]) =>
  mintmark([
    ...['sync', '--issuer', ISSUER, '--istio', istioFile, '--kubeconfig', kubeconfigFile],
    ...['--once', ...options],
  ])
const writes = () => api.requests.filter(({ method }) => method !== 'GET')

describe('mintmark sync --once', () => {
  it('applies the object of the file with the JWKS inline, and writes nothing when nothing changed', async () => {
    const first = await sync()
    expect(first).toEqual({
      code: 0,
      stdout: 'RequestAuthentication istio-system/mintmark written\n',
      stderr: '',
    })
    const [{ method, url, headers, body } = {} as Recorded] = writes()
    expect({ method, url }).toEqual({
      method: 'PATCH',
      url: `${PATH}?fieldManager=mintmark-sync&fieldValidation=Strict`,
    })
    expect(headers).toMatchObject({
      'content-type': 'application/apply-patch+yaml',
      authorization: 'Bearer first',
    })
    const [rule] = body.spec.jwtRules
    expect(rule).not.toHaveProperty('jwksUri')
    expect(JSON.parse(rule.jwks)).toEqual({ keys: KEYS })
    expect(rule).toMatchObject({ issuer: ISSUER, audiences: ['vllm'], forwardOriginalToken: false })
    expect(body.spec.selector).toEqual({ matchLabels: { istio: 'ingressgateway' } })
    expect(body.metadata.annotations).toEqual({ 'mintmark/jwks-modified': '2026-11-29T10:00:00.000Z' })
    expect((await sync()).stdout).toBe('RequestAuthentication istio-system/mintmark unchanged\n')
    expect(writes()).toHaveLength(1)
  })

  it('names the version that it compared, so that a change in between is not overwritten', async () => {
    await sync()
    jwks = published([...KEYS, signingKey()])
    let changed = 0
    refuse = ({ method }) =>
      method === 'PATCH' && changed++ === 0
        ? status(409, 'Conflict', 'the object has been modified')
        : undefined
    expect((await sync()).code).toBe(0)
    expect(writes().at(-1)?.body.metadata.resourceVersion).toBe('1')
    expect(writes()).toHaveLength(3)
  })

  it('reads the token file for each request', async () => {
    refuse = () => {
      void writeFile(join(folder, 'token'), 'second\n')
      return undefined
    }
    await sync()
    await sync()
    expect(api.requests.at(-1)?.headers.authorization).toBe('Bearer second')
  })

  const [key = signingKey()] = KEYS
  it.each<[string, Answer, number, RegExp]>([
    ['an empty set', published([]), 5, /no list of keys: with an empty set every token would be rejected/],
    ['no set', { status: 200, body: { kids: [] } }, 5, /no list of keys/],
    ['no JSON', { status: 200, body: '<html>' }, 5, /no list of keys/],
    ['a private key', published([{ ...key, d: 'AAAA' }]), 5, /has private members/],
    ['a kid of another key', published([{ ...key, kid: signingKey().kid }]), 5, /does not match its kid/],
    ['a key that is none', published([{ ...key, x: 'AAAA' }]), 5, /cannot be read/],
    ['null', published([null]), 5, /is not an object/],
    ['a key for encryption', published([{ ...key, use: 'enc' }]), 5, /is not a signing key/],
    ['a key twice', published([key, key]), 5, /has a kid twice/],
    ['eleven keys', published(Array.from({ length: 11 }, signingKey)), 5, /has more than 10 keys/],
    ['a long answer', { status: 200, body: ' '.repeat(70_000) }, 6, /answers with more than 65536 bytes/],
    ['an error', { status: 503, body: {} }, 6, /answers 503/],
    ['a redirect', { status: 302, headers: { location: '/' }, body: {} }, 6, /answers 302/],
  ])('writes nothing for %s', async (_, answer, code, message) => {
    await sync()
    jwks = answer
    const outcome = await sync()
    expect(outcome).toMatchObject({ code, stderr: expect.stringMatching(message) })
    expect(writes()).toHaveLength(1)
  })

  it('writes nothing that is older than what the object has, without --allow-older', async () => {
    await sync()
    jwks = published([key], 'Sun, 29 Nov 2026 09:59:59 GMT')
    const older = await sync()
    expect(older).toMatchObject({ code: 5, stderr: expect.stringContaining('restored from a backup') })
    expect(writes()).toHaveLength(1)
    expect((await sync('--allow-older')).stdout).toContain('written')
  })

  it.each([
    ['argocd-controller', ', Argo CD'],
    ['kustomize-controller', ', Flux'],
    ['helm', ', Helm'],
    ['kubectl-client-side-apply', ', kubectl'],
    ['someone', ''],
  ])('names the field manager %s in a conflict, with the cure', async (manager, tool) => {
    const cause = {
      reason: 'FieldManagerConflict',
      message: `conflict with "${manager}" using security.istio.io/v1`,
      field: '.spec.jwtRules',
    }
    refuse = ({ url }) =>
      url.includes('fieldManager') && !url.includes('force=true')
        ? status(409, 'Conflict', 'Apply failed with 1 conflict', { causes: [cause] })
        : undefined
    const { code, stderr } = await sync()
    expect(code).toBe(5)
    expect(stderr).toContain(`another field manager${tool}: .spec.jwtRules ("${manager}")`)
    expect(stderr).toContain('--once --force-conflicts')
    expect((await sync('--force-conflicts')).code).toBe(0)
  })

  it('takes the fields out of what a client-side apply recorded, before it takes them over', async () => {
    const taken = { jwtRules: [{ issuer: ISSUER }], selector: { matchLabels: {} } }
    const record = (spec: object) => ({ [LAST]: JSON.stringify({ kind: 'X', spec }) })
    const live = (annotations: object) => ({
      ...{ apiVersion: 'security.istio.io/v1', kind: 'RequestAuthentication', spec: { jwtRules: [] } },
      metadata: { name: 'mintmark', namespace: 'istio-system', resourceVersion: '7', annotations },
    })
    objects.byPath.set(PATH, live(record({ ...taken, other: 1 })))
    expect((await sync('--force-conflicts')).code).toBe(0)
    const [merged, applied, ...more] = writes()
    expect(more).toEqual([])
    expect(merged?.headers['content-type']).toBe('application/merge-patch+json')
    expect(merged?.body).toEqual({ metadata: { resourceVersion: '7', annotations: record({ other: 1 }) } })
    expect(applied?.url).toContain('force=true')

    for (const annotations of [{}, record({ other: 1 }), { [LAST]: 'no JSON' }]) {
      objects.byPath.set(PATH, live(annotations))
      api.requests.length = 0
      expect((await sync('--force-conflicts')).code).toBe(0)
      expect(writes()).toHaveLength(1)
    }
  })

  it('leaves what a client-side apply recorded without --force-conflicts', async () => {
    const annotations = { [LAST]: JSON.stringify({ spec: { jwtRules: [] } }) }
    const metadata = { resourceVersion: '7', annotations }
    objects.byPath.set(PATH, { kind: 'RequestAuthentication', metadata, spec: {} })
    await sync()
    expect(writes().map(({ headers }) => headers['content-type'])).toEqual(['application/apply-patch+yaml'])
  })

  it.each<[string, () => Answer | 'lost', number, RegExp]>([
    [
      '401',
      () => status(401, 'Unauthorized', 'Unauthorized'),
      3,
      /does not accept the credentials of .*kubeconfig/,
    ],
    [
      '403',
      () => status(403, 'Forbidden', 'user "x" cannot get'),
      3,
      /forbids GET .*user "x" cannot get Grant/,
    ],
    ['422', () => status(422, 'Invalid', 'spec: bad'), 5, /rejects GET .*spec: bad/],
    ['429', () => status(429, 'TooManyRequests', 'slow'), 6, /answers 429/],
    ['500', () => status(500, 'InternalError', 'etcd'), 6, /answers 500 .*etcd/],
    ['no JSON', () => ({ status: 200, body: '<html>' }), 1, /not a Kubernetes API server/],
    ['JSON that is no object', () => ({ status: 200, body: '[]' }), 1, /not a Kubernetes API server/],
    ['a lost connection', () => 'lost', 6, /is not reachable \(ECONNRESET\)/],
  ])('names the fault of the API server: %s', async (_, answer, code, message) => {
    refuse = answer
    const outcome = await sync()
    expect(outcome).toMatchObject({ code, stderr: expect.stringMatching(message) })
  })

  it('rejects an interval that a new key could outrun', async () => {
    const long = await sync('--interval', '1201')
    expect(long).toMatchObject({ code: 2, stderr: expect.stringContaining('from 1 to 1200') })
    // A third of a publish lead of 900 s.
    jwks = { ...published(KEYS), headers: { 'cache-control': `public, max-age=${maxAgeOf(900)}` } }
    const short = await sync('--interval', '301')
    expect(short).toMatchObject({
      code: 5,
      stderr: expect.stringContaining('Set --interval to at most 300.'),
    })
    expect(await sync('--interval', '300')).toMatchObject({ code: 0 })
    jwks = { ...published(KEYS), headers: { 'cache-control': `public, max-age=${maxAgeOf(3_600)}` } }
    expect(await sync('--interval', '1200')).toMatchObject({ code: 0 })
  })

  it.each<[string, () => Promise<string[]>, RegExp]>([
    [
      'a file without a rule of the issuer',
      () => istio(text => text.replaceAll(ISSUER, 'https://x')),
      /has a rule with the issuer/,
    ],
    [
      'a rule without jwksUri',
      () => istio(text => text.replace(/ +jwksUri.*\n/, '')),
      /needs the same jwksUri/,
    ],
    [
      'no namespace',
      () => istio(text => text.replace(/ +namespace.*\n/, '')),
      /needs a metadata.name and a metadata.namespace/,
    ],
    ['no YAML', () => istio(() => 'a: [\n'), /is not valid YAML/],
    [
      'a program in the kubeconfig',
      () => config(kubeconfig({ exec: {} })),
      /uses exec, which is not supported/,
    ],
    ['a proxy', () => config(kubeconfig({}, { 'proxy-url': 'http://p' })), /uses proxy-url/],
    ['a kubeconfig of another kind', () => config('text'), /is not a kubeconfig/],
    ['an unknown context', async () => ['--context', 'two'], /has no context "two"/],
    [
      'a file that does not exist',
      async () => ['--kubeconfig', join(folder, 'none')],
      /does not exist \(ENOENT\)/,
    ],
  ])('names the fault of its input: %s', async (_, options, message) => {
    const outcome = await sync(...(await options()))
    expect(outcome).toMatchObject({ code: 2, stderr: expect.stringMatching(message) })
    expect(api.requests).toEqual([])
  })

  it('says what it needs outside a pod', async () => {
    const { code, stderr } = await mintmark(['sync', '--issuer', ISSUER, '--istio', istioFile, '--once'])
    expect(code).toBe(2)
    expect(stderr).toContain('KUBERNETES_SERVICE_HOST is unset. Use --kubeconfig')
  })

  it('names an API server that is not reachable', async () => {
    const server = `http://127.0.0.1:${await freePort()}`
    const { code, stderr } = await sync(...(await config(kubeconfig({}, { server }))))
    expect({ code, stderr }).toEqual({
      code: 6,
      stderr: expect.stringContaining(`${server} is not reachable (ECONNREFUSED)`),
    })
  })
})

/** Replaces the file of --istio until the next test: the option adds files. */
async function istio(change: (text: string) => string): Promise<string[]> {
  istioFile = join(folder, 'changed.yaml')
  await writeFile(istioFile, change(await example()))
  return []
}

async function config(text: string): Promise<string[]> {
  const file = join(folder, 'changed-kubeconfig')
  await writeFile(file, text)
  return ['--kubeconfig', file]
}
