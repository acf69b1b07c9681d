import { readFileSync } from 'node:fs'
import { request } from 'node:https'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Checks } from '../engine/checks.ts'
import { chat, send } from '../gateway-configs/client.ts'
import { type Envoy, noEnvoy, startEnvoy, substitute } from '../gateway-configs/envoy.ts'
import { type Exchange, exchange } from '../support/exchange.ts'
import { type RecordingUpstream, startRecordingUpstream } from '../support/recording-upstream.ts'
import { until } from '../support/until.ts'
import { type Cluster, MODEL, NAMESPACE, WAIT_MS } from './cluster.ts'
import { HOST } from './network.ts'

const AUDIENCE = 'https://tokens.example.com'
const ISSUER = 'https://kubernetes.default.svc.cluster.local'
const WORKLOADS = 'inference'
const FILE = '/var/run/secrets/mintmark/token'

/** Exchanges its token every second, as docs/guides/workload-identity.md says, and prints which token file it used. */
const PROGRAM = `
  const { createHash } = require('node:crypto')
  const { execFileSync } = require('node:child_process')
  const { readFileSync } = require('node:fs')
  setInterval(() => {
    const file = createHash('sha256').update(readFileSync('${FILE}')).digest('hex')
    const token = execFileSync('node', ['dist/cli/main.js', 'token', 'get', '--from-file', '${FILE}'], { encoding: 'utf8' })
    console.log(JSON.stringify({ file, token: token.trim() }))
  }, 1000)`

/** Service account tokens of the real API server, exchanged, and accepted by a real Envoy. No secret is stored for them. */
export async function checkWorkloads(
  checks: Checks,
  cluster: Cluster,
  onEnd: (end: () => unknown) => void,
): Promise<void> {
  console.log('\ntokens of service accounts')
  await cluster.kubectl(['create', 'serviceaccount', 'chat', '--namespace', WORKLOADS])
  await checks.equal('the API server has its keys behind RBAC: without a token', 403, () =>
    anonymous('/openid/v1/jwks'),
  )
  const provider = await addProvider(cluster, AUDIENCE)
  await checks.equal('every replica has the keys, by the token of its own service account', true, () =>
    haveKeys(cluster, provider.id),
  )
  const credential = {
    type: 'federated',
    provider: provider.id,
    subject: `system:serviceaccount:${WORKLOADS}:chat`,
  }
  const { key } = await cluster.admin('POST', '/tenants/acme/workload-keys', { credential })
  await checks.equal(
    'nothing secret is stored: the key has no secret, the provider no fetch token',
    [0, false],
    async () => {
      const { secrets } = await cluster.admin('GET', `/keys/${key}`)
      return [
        secrets.length,
        (await cluster.admin('GET', `/identity-providers/${provider.id}`)).has_fetch_token,
      ]
    },
  )
  if (noEnvoy) return console.log('  note    no Envoy: run scripts/install-gateways.sh')
  const upstream = await startRecordingUpstream()
  onEnd(() => upstream.stop())
  const envoy = await gateway(cluster, upstream)
  onEnd(() => envoy.stop())
  await createdTokens(checks, cluster, envoy)
  await projectedTokens(checks, cluster, envoy, upstream)
  await ownToken(checks, cluster)
}

async function createdTokens(checks: Checks, cluster: Cluster, envoy: Envoy): Promise<void> {
  const create = async (account: string, audience: string) => {
    const args = ['create', 'token', account, '--namespace', WORKLOADS, '--audience', audience]
    return (await cluster.kubectl(args)).stdout.trim()
  }
  await checks.equal(
    'kubectl create token --audience: exchanged, and accepted by Envoy',
    [200, 200],
    async () => {
      const { status, token } = await present(cluster, await create('chat', AUDIENCE))
      return [status, await ask(envoy, token)]
    },
  )
  const refused = async (account: string, audience: string) =>
    (await present(cluster, await create(account, audience))).status
  await checks.equal('of the service account default: refused', 400, () => refused('default', AUDIENCE))
  await checks.equal('for another audience: refused', 400, () => refused('chat', 'https://other.example.com'))
}

async function projectedTokens(checks: Checks, cluster: Cluster, envoy: Envoy, upstream: RecordingUpstream) {
  await cluster.plane.api.post(`/api/v1/namespaces/${WORKLOADS}/pods`, POD)
  const pod = await until(
    'the pod',
    async () => cluster.pods('chat', WORKLOADS)[0],
    found => Boolean(found?.log.includes('{')),
    WAIT_MS,
  )
  const printed = (): { file: string; token: string }[] =>
    (pod?.log ?? '').split('\n').flatMap(line => (line.startsWith('{') ? JSON.parse(line) : []))
  await pod?.renewTokens()
  const renewed = await until(
    'exchanges with the new file',
    async () => printed(),
    lines => new Set(lines.map(({ file }) => file)).size === 2,
    WAIT_MS,
  )
  await sleep(3_000)
  await checks.equal(
    'a projected file: exchanged before and after the kubelet replaced it',
    [2, true],
    () => [
      new Set(printed().map(({ file }) => file)).size,
      printed().length > renewed.length && !pod?.log.includes('Error'),
    ],
  )
  await checks.equal('each of its tokens is accepted by Envoy', [200], async () => {
    upstream.forget()
    return [...new Set(await Promise.all(printed().map(({ token }) => ask(envoy, token))))]
  })
  await checks.equal('the engine is told the tenant, and receives no token', ['acme', undefined], () => {
    const headers = upstream.requests.at(-1)?.headers
    return [headers?.['x-tenant-id'], headers?.authorization]
  })
  await cluster.kubectl(['delete', 'pod', 'chat', '--namespace', WORKLOADS, '--wait=false'])
}

/** The API server answers 401 for the token that is in the files first. */
async function ownToken(checks: Checks, cluster: Cluster): Promise<void> {
  const replicas = cluster.replicas().filter(pod => pod.isReady)
  for (const pod of replicas) await pod.renewTokens('a token that is none')
  const { id } = await addProvider(cluster, 'https://second.example.com')
  await checks.equal("with a wrong token in the replica's file, a fetch fails", 'status', async () => {
    const { fetch } = await until(
      'a failure',
      () => cluster.admin('GET', `/identity-providers/${id}`),
      provider => Boolean(provider.fetch?.last_error),
      WAIT_MS,
    )
    return fetch.last_error.kind
  })
  for (const pod of replicas) await pod.renewTokens()
  await checks.equal('once the kubelet replaced it, the next one succeeds', true, () => haveKeys(cluster, id))
}

const addProvider = (cluster: Cluster, audience: string) =>
  cluster.admin('POST', '/identity-providers', {
    ...{ name: audience, kind: 'kubernetes', issuer: ISSUER, audiences: [audience], in_cluster: true },
    bounds: [{ tenant: 'acme', subject: `system:serviceaccount:${WORKLOADS}:*` }],
  })

/** The Service passes requests to the replicas in turn. */
const haveKeys = (cluster: Cluster, id: string): Promise<boolean> =>
  until(
    'the keys',
    () => Promise.all(Array.from({ length: 4 }, () => cluster.admin('GET', `/identity-providers/${id}`))),
    answers => answers.every(({ fetch }) => fetch?.last_success_at),
    WAIT_MS,
  ).then(() => true)

const present = async (cluster: Cluster, assertion: string): Promise<Exchange> =>
  exchange(await cluster.tokenUrl(), {
    grant_type: 'urn:ietf:params:oauth:grant-type:token-exchange',
    subject_token_type: 'urn:ietf:params:oauth:token-type:jwt',
    subject_token: assertion,
  })

const ask = async ({ url }: Envoy, token: string): Promise<number> =>
  (await send(url, { token, body: chat(MODEL) })).status

function gateway(cluster: Cluster, upstream: RecordingUpstream): Promise<Envoy> {
  const file = readFileSync(new URL('../../deploy/envoy/envoy.yaml', import.meta.url), 'utf8')
  const service = cluster.proxy.address(NAMESPACE, 'mintmark')
  return startEnvoy(
    substitute(file, [
      ['address: mintmark, port_value: 8080', `address: ${service}, port_value: 8080`],
      ['address: vllm, port_value: 8000', `address: 127.0.0.1, port_value: ${upstream.port}`],
      ['address: 0.0.0.0, port_value: 10000', 'address: 127.0.0.1, port_value: 0'],
      ['address: 127.0.0.1, port_value: 9901', 'address: 127.0.0.1, port_value: 0'],
    ]),
  )
}

/** Its certificate is not of an authority that this process knows. */
const anonymous = (path: string): Promise<number> =>
  new Promise((resolve, reject) => {
    request({ host: HOST, port: 6443, path, rejectUnauthorized: false }, answer => {
      answer.resume()
      resolve(answer.statusCode ?? 0)
    })
      .once('error', reject)
      .end()
  })

const CONFINED = {
  allowPrivilegeEscalation: false,
  readOnlyRootFilesystem: true,
  capabilities: { drop: ['ALL'] },
}
/** As deploy/helm/examples/workload.yaml has it. */
const POD = {
  apiVersion: 'v1',
  kind: 'Pod',
  metadata: { name: 'chat', labels: { 'app.kubernetes.io/name': 'chat' } },
  spec: {
    serviceAccountName: 'chat',
    automountServiceAccountToken: false,
    terminationGracePeriodSeconds: 1,
    securityContext: {
      ...{ runAsNonRoot: true, runAsUser: 1000, runAsGroup: 1000, fsGroup: 1000 },
      seccompProfile: { type: 'RuntimeDefault' },
    },
    containers: [
      {
        name: 'chat',
        image: 'registry.example.com/mintmark:first',
        command: ['node', '-e', PROGRAM],
        env: [{ name: 'MINTMARK_PUBLIC_URL', value: `http://mintmark.${NAMESPACE}.svc.cluster.local:8080` }],
        securityContext: CONFINED,
        volumeMounts: [{ name: 'mintmark', mountPath: '/var/run/secrets/mintmark', readOnly: true }],
      },
    ],
    volumes: [
      {
        name: 'mintmark',
        projected: {
          sources: [{ serviceAccountToken: { path: 'token', audience: AUDIENCE, expirationSeconds: 3600 } }],
        },
      },
    ],
  },
}
