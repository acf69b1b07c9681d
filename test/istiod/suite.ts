import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { ISSUER } from '../../deploy/generate/example.ts'
import type { Checks } from '../engine/checks.ts'
import { freePort } from '../support/free-port.ts'
import { startRecordingUpstream } from '../support/recording-upstream.ts'
import { until } from '../support/until.ts'
import { type ApiServer, objectsIn, startApiServer } from './api-server.ts'
import { Issuer } from './issuer.ts'
import {
  type Gateway,
  istiodMetric,
  istiodPorts,
  REFRESH_SECONDS,
  startGateway,
  startIstiod,
} from './mesh.ts'
import { engineEntry, gatewayObjects, statusOf } from './mesh-objects.ts'
import type { Program } from './programs.ts'
import { type Outcome, runMintmark, type SyncProcess, startSync } from './sync-process.ts'

/** Longer than istiod and Envoy take to pass a change on, on a busy machine. */
const PUSHED_MS = 60_000
/** How long an Envoy that lost its istiod may take to connect again, and to receive what istiod has. */
const RECONNECTED_MS = 8_000
/** Longer than a gateway that starts takes to reach the engine. */
const FOUND_MS = 20_000
const INTERVAL_SECONDS = 2
const OBJECT = '/apis/security.istio.io/v1/namespaces/istio-system/requestauthentications/mintmark'
const deploy = (path: string) => readFileSync(new URL(`../../deploy/istio/${path}`, import.meta.url), 'utf8')

type OnEnd = (end: () => unknown) => void

/** The mesh of the suite, and what is shown on it. "Mintmark is stopped": the issuer resets connections. */
export class Suite {
  readonly #checks: Checks
  readonly #onEnd: OnEnd
  readonly #folder = mkdtempSync(join(tmpdir(), 'mintmark-istiod-'))
  readonly #issuer = new Issuer()
  #kid = ''
  #api!: ApiServer
  #ports!: Awaited<ReturnType<typeof istiodPorts>>
  #gatewayPort = 0
  #enginePort = 0
  #text = ''
  #istiod: Program | undefined
  #gateway: Gateway | undefined
  #gateways = 0

  constructor(checks: Checks, onEnd: OnEnd) {
    this.#checks = checks
    this.#onEnd = onEnd
    onEnd(() => rmSync(this.#folder, { recursive: true, force: true }))
  }

  async run(): Promise<void> {
    const engine = await startRecordingUpstream()
    this.#enginePort = engine.port
    this.#onEnd(() => engine.stop())
    const { url, end } = await this.#issuer.start()
    this.#onEnd(end)
    this.#kid = await this.#issuer.publish()
    await this.#issuer.publish()
    this.#text = deploy('request-authentication.yaml').replace(/jwksUri: .*/, `jwksUri: ${url}`)
    this.#api = await startApiServer(this.#folder, this.#onEnd)
    this.#ports = await istiodPorts()
    this.#gatewayPort = await freePort()
    await this.#createObjects()
    await this.#fetchedByIstiod()
    await this.#inline()
    await this.#whileItRuns()
  }

  async #fetchedByIstiod(): Promise<void> {
    console.log('\na jwksUri, which istiod fetches')
    const token = await this.#issuer.token(this.#kid)
    await this.#api.apply(objectsIn(this.#text)[0])
    await this.#startIstiod()
    await this.#startGateway()
    await this.#findEngine(token)
    await this.#statusBecomes('a token is accepted once istiod has fetched the JWKS', token, 200)
    this.#issuer.stopped = true
    await this.#checks.equal('Mintmark is stopped: the token is still accepted', [200], () =>
      this.#statuses(token, 3_000),
    )
    await this.#restartIstiod()
    await this.#statusBecomes(
      'istiod restarts while Mintmark is stopped: the same token is rejected',
      token,
      401,
    )
    await this.#checks.equal('doctor sees the placeholder in the gateway', true, async () =>
      (await this.#doctor()).stdout.includes('placeholder key of istiod'),
    )
    // It repeats the fetch for about five seconds; a Mintmark that is back by then is found.
    const givesUp = () => this.#istiod?.log().includes('Failed to refresh JWT public key') ?? false
    await until('istiod gives up', givesUp, Boolean, PUSHED_MS)
    this.#issuer.stopped = false
    const watchedMs = (REFRESH_SECONDS + 5) * 1_000
    await this.#checks.equal(
      `Mintmark runs again: the token is still rejected after ${watchedMs / 1_000} s, longer than the refresh interval`,
      [401],
      () => this.#statuses(token, watchedMs),
    )
    const before = performance.now()
    await this.#api.apply(engineEntry('another', this.#gatewayPort))
    await this.#statusBecomes('any other change of the mesh makes istiod fetch again', token, 200)
    console.log(`  note    accepted ${since(before)} s after that change`)
  }

  async #inline(): Promise<void> {
    console.log('\nthe default: inline, kept by mintmark sync')
    const token = await this.#issuer.token(this.#kid)
    await this.#api.admin.call('DELETE', OBJECT)
    await this.#checks.equal(
      'sync writes the JWKS in place of jwksUri, and then nothing',
      ['written', 'unchanged'],
      async () => {
        const results = [await this.#sync(), await this.#sync()]
        return results.map(({ stdout }) => stdout.trim().split(' ').at(-1))
      },
    )
    this.#issuer.stopped = true
    await this.#istiod?.stop()
    await this.#gateway?.program.stop()
    await this.#startIstiod()
    await this.#startGateway()
    const name = 'Mintmark is stopped when istiod and the gateway start: the token is accepted'
    await this.#statusBecomes(name, token, 200)
    await this.#restartIstiod()
    await this.#checks.equal('istiod restarts: the token is accepted all the time', [200], () =>
      this.#statuses(token, RECONNECTED_MS),
    )
    await this.#gateway?.program.stop()
    await this.#startGateway()
    await this.#statusBecomes('another gateway starts: the token is accepted', token, 200)
    await this.#checks.equal(
      'sync --once says that Mintmark is unavailable, and changes nothing',
      [6, 200],
      async () => [(await this.#sync()).code, await this.#status(token)],
    )
  }

  async #whileItRuns(): Promise<void> {
    console.log('\nmintmark sync while it runs')
    const token = await this.#issuer.token(this.#kid)
    const [one, two] = [await this.#startSync(), await this.#startSync()]
    const leading = async () => [
      await one.metric('mintmark_sync_leading'),
      await two.metric('mintmark_sync_leading'),
    ]
    await until('one of two has the lease', leading, ([a = 0, b = 0]) => a + b === 1, PUSHED_MS)
    const [holder, heir] = (await leading())[0] === 1 ? [one, two] : [two, one]
    const readiness = () => holder.get('/readyz')
    await until('it is unready', readiness, ({ status }) => status === 503, PUSHED_MS)
    await this.#checks.equal('sync starts while Mintmark is stopped: the token is accepted', 200, () =>
      this.#status(token),
    )
    this.#issuer.stopped = false
    await until('it is ready', readiness, ({ status }) => status === 200, PUSHED_MS)
    await this.#checks.equal('one of two processes writes', 1, async () =>
      (await leading()).reduce((sum, each) => sum + each),
    )
    const writes = await holder.metric('mintmark_sync_writes_total')
    const next = await this.#issuer.publish()
    await until(
      'it has written',
      () => holder.metric('mintmark_sync_writes_total'),
      now => now > writes,
      PUSHED_MS,
    )
    await this.#statusBecomes('a standby key is known before it signs', await this.#issuer.token(next), 200)
    await holder.program.stop('SIGKILL')
    await until('the other has the lease', () => heir.metric('mintmark_sync_leading'), Boolean, PUSHED_MS)
    await this.#checks.equal(
      'the process with the lease is killed: the other takes over, the token is accepted',
      200,
      () => this.#status(token),
    )
    this.#issuer.revoke(this.#kid)
    const before = performance.now()
    await this.#statusBecomes('a revoked signing key is forgotten', token, 401)
    console.log(`  note    ${since(before)} s after the revocation, at an interval of ${INTERVAL_SECONDS} s`)
    await this.#checks.equal('the gateway logs the reason', true, () =>
      until('it is in the log', () => this.#hasLogged('token_unknown_key'), Boolean),
    )
    await this.#checks.equal('tokens of the other keys are accepted', 200, async () =>
      this.#status(await this.#issuer.token(next)),
    )
    await this.#checks.equal('istiod counts no rejected configuration (NACK)', 0, () =>
      istiodMetric(this.#ports, 'pilot_total_xds_rejects'),
    )
    await this.#checks.equal('the gateway counts updates, and rejected none', [true, 0], () =>
      this.#rejected(),
    )
  }

  async #createObjects(): Promise<void> {
    const policies = `${deploy('authorization-policy.yaml')}---\n${deploy('envoy-filter.yaml')}`
    for (const object of objectsIn(policies)) await this.#api.apply(object)
    for (const object of gatewayObjects(this.#enginePort, this.#gatewayPort)) await this.#api.apply(object)
  }

  #file(name: string, text: string): string {
    const file = join(this.#folder, name)
    writeFileSync(file, text)
    return file
  }

  get #arguments() {
    const istio = this.#file('istio.yaml', this.#text)
    return { istio, kubeconfig: this.#api.kubeconfig, intervalSeconds: INTERVAL_SECONDS, issuer: ISSUER }
  }

  #sync(): Promise<Outcome> {
    const { istio, kubeconfig } = this.#arguments
    return runMintmark(['sync', '--issuer', ISSUER, '--istio', istio, '--kubeconfig', kubeconfig, '--once'])
  }

  async #startSync(): Promise<SyncProcess> {
    const sync = await startSync(this.#folder, this.#arguments)
    this.#onEnd(() => sync.program.stop())
    return sync
  }

  /** What doctor finds in the gateway. The issuer of the example has no address, which is a finding too. */
  async #doctor(): Promise<Outcome> {
    const dump = await (await fetch(`${this.#gateway?.adminUrl}/config_dump`)).text()
    return runMintmark(['doctor', '--issuer', ISSUER, '--envoy', this.#file('config-dump.json', dump)])
  }

  /** A line of the access log that the EnvoyFilter adds. */
  #hasLogged(reason: string): boolean {
    const lines = this.#gateway?.program.log().split('\n') ?? []
    return lines.some(line => line.includes('"gateway":"istio"') && line.includes(`"reason":"${reason}"`))
  }

  /** Whether the gateway counts updates that it rejected, and how many. */
  async #rejected(): Promise<[boolean, number]> {
    const text = await (await fetch(`${this.#gateway?.adminUrl}/stats?filter=update_rejected`)).text()
    const counts = text
      .trim()
      .split('\n')
      .map(line => Number(line.split(': ')[1]))
    return [counts.length >= 2, counts.reduce((sum, count) => sum + count, 0)]
  }

  async #startIstiod(): Promise<void> {
    const istiod = await startIstiod(this.#folder, this.#ports, this.#api)
    this.#istiod = istiod
    this.#onEnd(() => istiod.stop())
  }

  async #restartIstiod(): Promise<void> {
    await this.#istiod?.stop('SIGTERM')
    await this.#startIstiod()
  }

  async #startGateway(): Promise<void> {
    const gateway = await startGateway(this.#folder, `ingress-${++this.#gateways}`, this.#ports)
    this.#gateway = gateway
    this.#onEnd(() => gateway.program.stop())
  }

  #status(token: string): Promise<number> {
    return statusOf(this.#gatewayPort, token)
  }

  /** All statuses of a time. */
  async #statuses(token: string, ms: number): Promise<number[]> {
    const found = new Set<number>()
    for (const end = performance.now() + ms; performance.now() < end; await sleep(100))
      found.add(await this.#status(token))
    return [...found]
  }

  async #statusBecomes(name: string, token: string, status: number): Promise<void> {
    let last = 0
    for (const end = performance.now() + PUSHED_MS; performance.now() < end; await sleep(100)) {
      last = await this.#status(token)
      if (last === status) break
    }
    await this.#checks.equal(name, status, () => last)
    if (last !== status) await this.#noteEndpoints()
  }

  /** istiod was seen once to start without the endpoint of an entry that it had: a change of the entry makes it look again. */
  async #findEngine(token: string): Promise<void> {
    for (const end = performance.now() + FOUND_MS; performance.now() < end; await sleep(100))
      if (![0, 503].includes(await this.#status(token))) return
    console.log('  note    the gateway does not reach the engine: its entry is applied again')
    await this.#noteEndpoints()
    const entry = engineEntry('engine', this.#enginePort)
    await this.#api.apply({ ...entry, metadata: { ...entry.metadata, labels: { again: 'true' } } })
  }

  /** What the gateway knows of the engine: a 503 has other causes than the JWKS. */
  async #noteEndpoints(): Promise<void> {
    const text = await (await fetch(`${this.#gateway?.adminUrl}/clusters`)).text()
    const lines = text
      .split('\n')
      .filter(line => line.includes('engine.example.com') && /::(health_flags|cx_|rq_)/.test(line))
    for (const line of lines) console.log(`  note    ${line}`)
  }
}

const since = (begin: number) => ((performance.now() - begin) / 1_000).toFixed(1)
