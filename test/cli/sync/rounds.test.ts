import { spawn } from 'node:child_process'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { KubernetesApi } from '../../../src/cli/sync/kubernetes-api.ts'
import { Lease } from '../../../src/cli/sync/lease.ts'
import { Rounds } from '../../../src/cli/sync/rounds.ts'
import { systemClock } from '../../../src/system/clock.ts'
import { adjustableClock } from '../../support/adjustable-clock.ts'
import { childEnvironment } from '../../support/child-environment.ts'
import { freePort } from '../../support/free-port.ts'
import { until } from '../../support/until.ts'
import { MAIN } from '../mintmark.ts'
import {
  type Answer,
  Objects,
  type RecordingServer,
  recordingServer,
  signingKey,
  status,
} from './recording-servers.ts'

const TARGET = {
  apiVersion: 'security.istio.io/v1',
  namespace: 'istio-system',
  name: 'mintmark',
  spec: { jwtRules: [{ issuer: 'https://tokens.example.com' }] },
}
const PATH = '/apis/security.istio.io/v1/namespaces/istio-system/requestauthentications/mintmark'
const LEASE = '/apis/coordination.k8s.io/v1/namespaces/mintmark/leases/mintmark-sync'

let server: RecordingServer
let issuer: RecordingServer
let objects: Objects
let refuse: () => Answer | undefined
let jwks: Answer
const KEYS = [signingKey()]

beforeAll(async () => {
  server = await recordingServer(request => refuse() ?? objects.answer(request))
  issuer = await recordingServer(() => jwks)
})
afterAll(() => Promise.all([server.stop(), issuer.stop()]))
beforeEach(() => {
  objects = new Objects()
  refuse = () => undefined
  jwks = published(KEYS)
})

const published = (keys: unknown[], second = '00'): Answer => ({
  status: 200,
  headers: { 'last-modified': `Sun, 29 Nov 2026 10:00:${second} GMT` },
  body: { keys },
})
const api = () =>
  new KubernetesApi({
    server: server.url,
    origin: 'this test',
    namespace: 'mintmark',
    tls: {},
    token: async () => undefined,
  })
const inObject = () => JSON.parse(objects.byPath.get(PATH).spec.jwtRules[0].jwks).keys

function roundsOf(options: Partial<ConstructorParameters<typeof Rounds>[0]> = {}): Rounds {
  return new Rounds({
    api: api(),
    clock: systemClock,
    random: { integer: () => 99, bytes: Buffer.alloc, uuid: () => '' },
    targets: [TARGET],
    jwksUrl: new URL(issuer.url),
    issuer: 'https://tokens.example.com',
    intervalSeconds: 60,
    lease: undefined,
    forceConflicts: false,
    allowOlder: false,
    signal: new AbortController().signal,
    onResult: () => {},
    onFault: () => {},
    ...options,
  })
}
const reasons = async (rounds: Rounds) => (await rounds.run()).map(({ reason }) => reason)

describe('rounds of sync', () => {
  it('keep the last good JWKS in the object, and put it back, while Mintmark is unavailable', async () => {
    const clock = adjustableClock()
    const rounds = roundsOf({ clock })
    expect(await reasons(rounds)).toEqual([])
    jwks = { status: 503, body: {} }
    clock.forward(100)
    expect(await reasons(rounds)).toEqual(['mintmark_unavailable'])
    expect(inObject()).toEqual(KEYS)
    objects.byPath.delete(PATH)
    expect(await reasons(rounds)).toEqual(['mintmark_unavailable'])
    expect(inObject()).toEqual(KEYS)
    expect(rounds.ageSeconds).toBeGreaterThanOrEqual(100)
    jwks = published(KEYS)
    expect(await reasons(rounds)).toEqual([])
    expect(rounds.ageSeconds).toBeLessThan(50)
    expect({ writes: rounds.writes, unavailable: rounds.failures.mintmark_unavailable }).toEqual({
      writes: 2,
      unavailable: 2,
    })
  })

  it('write a new key at once, and never go back to an older set', async () => {
    const rounds = roundsOf()
    await rounds.run()
    const [before, now] = [KEYS, [...KEYS, signingKey()]]
    jwks = published(now, '10')
    expect(await reasons(rounds)).toEqual([])
    jwks = published(before, '09')
    expect(await reasons(rounds)).toEqual(['jwks_older'])
    // A process that starts now has only the object to compare with.
    expect(await reasons(roundsOf())).toEqual(['jwks_older'])
    expect(inObject()).toEqual(now)
  })

  it('take a set without a time, of a version that sends none', async () => {
    await roundsOf().run()
    const now = [signingKey()]
    jwks = { status: 200, body: { keys: now } }
    expect(await reasons(roundsOf())).toEqual([])
    expect(inObject()).toEqual(now)
  })

  it('go on with the other objects when one fails', async () => {
    const other = { ...TARGET, name: 'other', apiVersion: 'security.istio.io/v1beta1' }
    let requests = 0
    refuse = () => (requests++ === 0 ? status(403, 'Forbidden', 'no') : undefined)
    const rounds = roundsOf({ targets: [TARGET, other] })
    expect(await reasons(rounds)).toEqual(['api_forbidden'])
    expect([...objects.byPath.keys()]).toEqual([
      PATH.replace('v1/', 'v1beta1/').replace(/mintmark$/, 'other'),
    ])
  })

  it('come sooner after a failure, then less and less often, and as late as the API server asks', async () => {
    const waits: number[] = []
    const stopping = new AbortController()
    let rounds = 0
    const clock = {
      ...systemClock,
      sleep: async (ms: number) => {
        waits.push(Math.round(ms / 999))
        rounds++
        jwks = rounds < 9 ? { status: 500, body: {} } : published(KEYS)
        if (rounds === 9)
          refuse = () => ({ ...status(503, 'Unavailable', 'x'), headers: { 'retry-after': '25' } })
        if (rounds === 10) refuse = () => undefined
        if (rounds === 12) stopping.abort()
      },
    }
    await roundsOf({ clock, signal: stopping.signal }).repeat()
    expect(waits).toEqual([60, 1, 2, 4, 8, 16, 32, 60, 60, 60, 60, 60])
  })

  it('come as often as the publish lead of Mintmark needs', async () => {
    jwks = { ...published(KEYS), headers: { 'cache-control': 'max-age=5' } }
    const waits: number[] = []
    const stopping = new AbortController()
    const sleep = async (ms: number) => {
      waits.push(ms)
      if (waits.length === 12) stopping.abort()
    }
    const rounds = roundsOf({
      clock: { ...systemClock, sleep },
      signal: stopping.signal,
      intervalSeconds: 600,
    })
    await rounds.repeat()
    expect(rounds.failures.unsafe_interval).toBe(12)
    // A third of a publish lead of 60 s, and random parts of a tenth.
    expect(Math.max(...waits)).toBeLessThanOrEqual(20_000)
    expect(Math.max(...waits)).toBeGreaterThanOrEqual(18_000)
    expect(inObject()).toEqual(KEYS)
  })
})

describe('the lease of sync', () => {
  const leaseOf = (identity: string, clock = adjustableClock()) =>
    new Lease({
      api: api(),
      clock,
      namespace: 'mintmark',
      name: 'mintmark-sync',
      identity,
      durationSeconds: 150,
    })

  it('is held by one process, which renews it', async () => {
    const [one, two] = [leaseOf('one'), leaseOf('two')]
    expect([await one.hold(), await two.hold(), await one.hold()]).toEqual([true, false, true])
    expect(objects.byPath.get(LEASE).spec).toMatchObject({
      holderIdentity: 'one',
      leaseDurationSeconds: 150,
      leaseTransitions: 1,
    })
  })

  it('is taken at once when it was given back, and otherwise when it was not renewed for its duration', async () => {
    const clock = adjustableClock()
    clock.freeze()
    const [one, two] = [leaseOf('one'), leaseOf('two', clock)]
    await one.hold()
    expect(await two.hold()).toBe(false)
    clock.forward(149)
    expect(await two.hold()).toBe(false)
    clock.forward(2)
    expect([await two.hold(), await one.hold()]).toEqual([true, false])
    // A process gives back only its own.
    await one.release()
    expect(await one.hold()).toBe(false)
    await two.release()
    expect(await one.hold()).toBe(true)
  })

  it('keeps a process without it from writing', async () => {
    await leaseOf('one').hold()
    const rounds = roundsOf({ lease: leaseOf('two') })
    expect(await reasons(rounds)).toEqual([])
    expect({ leading: rounds.leading, writes: rounds.writes }).toEqual({ leading: false, writes: 0 })
  })
})

it.each([
  ['of the context', [], LEASE],
  [
    'that is named',
    ['--lease', 'other', '--lease-namespace', 'elsewhere'],
    '/apis/coordination.k8s.io/v1/namespaces/elsewhere/leases/other',
  ],
])(
  'mintmark sync runs until SIGTERM, with health checks and metrics, and gives back the lease %s',
  async (_, options, lease) => {
    const folder = await mkdtemp(join(tmpdir(), 'mintmark-sync-process-'))
    const [istio, kubeconfig] = [join(folder, 'istio.yaml'), join(folder, 'kubeconfig')]
    const rule = { issuer: 'https://tokens.example.com', jwksUri: `${issuer.url}/jwks.json` }
    const metadata = { name: TARGET.name, namespace: TARGET.namespace }
    const object = { ...TARGET, kind: 'RequestAuthentication', metadata, spec: { jwtRules: [rule] } }
    await writeFile(istio, JSON.stringify(object))
    await writeFile(
      kubeconfig,
      JSON.stringify({
        'current-context': 'one',
        contexts: [{ name: 'one', context: { cluster: 'c', user: 'u', namespace: 'mintmark' } }],
        clusters: [{ name: 'c', cluster: { server: server.url } }],
        users: [{ name: 'u', user: {} }],
      }),
    )
    const port = await freePort()
    const args = ['sync', '--issuer', rule.issuer, '--istio', istio, '--kubeconfig', kubeconfig]
    const listening = ['--host', '127.0.0.1', '--port', String(port)]
    const child = spawn(process.execPath, [MAIN, ...args, ...listening, ...options], {
      env: childEnvironment({}),
    })
    let log = ''
    child.stdout.on('data', chunk => (log += chunk))
    const get = async (path: string) => {
      const answer = await fetch(`http://127.0.0.1:${port}${path}`).catch(() => undefined)
      return { status: answer?.status, text: (await answer?.text()) ?? '' }
    }
    try {
      await until(
        'sync is ready',
        () => get('/readyz'),
        ({ status }) => status === 200,
      )
      expect(inObject()).toEqual(KEYS)
      expect(await get('/livez')).toMatchObject({ status: 200 })
      expect(await get('/nothing')).toMatchObject({ status: 404 })
      const { text } = await get('/metrics')
      expect(text).toMatch(/^mintmark_sync_jwks_age_seconds [\d.]+$/m)
      expect(text).toContain('mintmark_sync_writes_total 1\n')
      expect(text).toContain('mintmark_sync_leading 1\n')
      expect(text).toContain('mintmark_sync_failures_total{reason="conflict"} 0\n')
      const ended = new Promise(resolve => child.once('exit', resolve))
      child.kill('SIGTERM')
      expect(await ended).toBe(0)
      expect([...objects.byPath.keys()].toSorted()).toEqual([lease, PATH])
      expect(objects.byPath.get(lease).spec.holderIdentity).toBe('')
      expect(log).toContain('"msg":"JWKS written"')
      expect(log).toContain('"msg":"sync stopped"')
    } finally {
      child.kill('SIGKILL')
      await rm(folder, { recursive: true })
    }
  },
)
