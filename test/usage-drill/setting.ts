import { deployFiles } from '../../deploy/generate/deploy-files.ts'
import { ISSUER } from '../../deploy/generate/example.ts'
import type { Environment } from '../faults/environment/environment.ts'
import type { Postgres } from '../faults/environment/postgres.ts'
import type { Replica } from '../faults/environment/replica.ts'
import { type Collector, startCollector } from '../gateway-configs/collector.ts'
import { type Envoy, startEnvoy, substitute } from '../gateway-configs/envoy.ts'
import { startNginx } from '../gateway-configs/nginx.ts'
import { freePort } from '../support/free-port.ts'
import type { Holder } from './clients.ts'
import { nameOf, type RecordingEngine, startRecordingEngine, type Totals } from './recording-engine.ts'

export const MODELS = ['llama-3-8b', 'mistral-7b']
const TENANTS = 4
const KEYS = 3

/** All that runs. */
export interface Setting {
  postgres: Postgres
  engine: RecordingEngine
  collector: Collector
  /** Report through the Collector. */
  gateways: { url: string }[]
  /** Reports to Mintmark itself, over HTTP; it has a reporter of its own. */
  alone: Envoy
  holders: Holder[]
  /** Which receives. */
  replica(): Replica
  /** `kill -9`. */
  killReplica(): Promise<void>
  /** At the same addresses, ready. */
  startReplica(): Promise<void>
  /** What is counted for the reporter of the Collector, or of the gateway alone. */
  counted(of: 'collector' | 'alone'): Promise<Totals>
}

const portOf = (url: string) => Number(new URL(url).port)

/** Mintmark and its Postgres, the Collector as shipped, two gateways with the shipped files behind it, and one without. */
export async function startSetting(environment: Environment): Promise<Setting> {
  const ending = <T extends { stop(): Promise<unknown> }>(started: T): T => {
    environment.onEnd(() => started.stop())
    return started
  }
  const postgres = await environment.postgres()
  const [publicPort, otlpPort] = [await freePort(), await freePort()]
  const start = () =>
    environment.replica(postgres.applicationUrl(), {
      ...{ MINTMARK_ISSUER: ISSUER, MINTMARK_TOKEN_TTL_SECONDS: '3600' },
      ...{ MINTMARK_PUBLIC_PORT: String(publicPort), MINTMARK_OTLP_HTTP_PORT: String(otlpPort) },
    })
  let replica = await start()
  for (const model of MODELS) await replica.admin('PUT', `/models/${model}`, {})
  const reporter = async (name: string): Promise<{ id: string; secret: string }> => {
    const { body } = await replica.change('/usage-reporters', { name, audiences: ['vllm'] })
    return { id: body.id, secret: body.secret }
  }
  const reporters = { collector: await reporter('collector'), alone: await reporter('alone') }
  const holders = await makeHolders(replica)
  const engine = ending(await startRecordingEngine())
  const receiver = { url: `http://127.0.0.1:${otlpPort}`, secret: reporters.collector.secret }
  const collector = ending(await startCollector(receiver, TWICE))
  const envoy = (transport: 'grpc' | 'http', port: number, secret: string) => {
    const file = deployFiles(undefined, undefined, transport)['deploy/envoy/envoy.yaml'] ?? ''
    return startEnvoy(
      substitute(file, [
        ['Bearer mmr_REPORTER', `Bearer ${secret}`],
        ['address: mintmark, port_value: 8080', `address: 127.0.0.1, port_value: ${publicPort}`],
        [
          `address: mintmark, port_value: ${transport === 'grpc' ? 8087 : 8085}`,
          `address: 127.0.0.1, port_value: ${port}`,
        ],
        ['address: vllm, port_value: 8000', `address: 127.0.0.1, port_value: ${engine.port}`],
        ['address: 0.0.0.0, port_value: 10000', 'address: 127.0.0.1, port_value: 0'],
        ['address: 127.0.0.1, port_value: 9901', 'address: 127.0.0.1, port_value: 0'],
      ]),
    )
  }
  const behind = {
    mintmark: { service: { urls: { public: replica.urls.public } } },
    ports: { gateway: portOf(replica.urls.gateway), upstream: engine.port },
  }
  return {
    ...{ postgres, engine, collector, holders },
    gateways: [
      ending(await envoy('grpc', collector.grpcPort, reporters.collector.secret)),
      ending(await startNginx(behind, [], undefined, collector.nginxLog)),
    ],
    alone: ending(await envoy('http', otlpPort, reporters.alone.secret)),
    replica: () => replica,
    killReplica: () => replica.process.kill(),
    startReplica: async () => {
      replica = await start()
    },
    counted: async of => {
      const rows = await postgres.sql<Record<string, string | Date>>(
        `SELECT hour, tenant_id, key_id, model, requests, refused_requests, input_tokens, cached_input_tokens, output_tokens
         FROM usage_totals WHERE reporter_id = $1`,
        [reporters[of].id],
      )
      return Object.fromEntries(
        rows.map(({ hour, tenant_id, key_id, model, ...counts }) => [
          nameOf((hour as Date).getTime() / 3_600_000, String(tenant_id), String(key_id), String(model)),
          Object.values(counts).map(Number),
        ]),
      )
    },
  }
}

/** A second exporter delivers every record once more, in other batches and in any order. */
const TWICE: [string, string][] = [
  [
    'service:\n',
    `  otlp_http/again:
    logs_endpoint: http://mintmark:8085/v1/logs
    headers: { Authorization: "Bearer \${env:REPORTER_SECRET}" }
    sending_queue:
      { storage: file_storage, sizer: items, queue_size: 1000000, num_consumers: 4, batch: { sizer: items, min_size: 70, max_size: 130, flush_timeout: 3s } }
    retry_on_failure: { enabled: true, initial_interval: 1s, max_interval: 10s, max_elapsed_time: 50m }

service:
`,
  ],
  ['exporters: [otlp_http/mintmark]', 'exporters: [otlp_http/mintmark, otlp_http/again]'],
]

async function makeHolders(replica: Replica): Promise<Holder[]> {
  const holders: Holder[] = []
  for (let number = 1; number <= TENANTS; number++) {
    const tenant = `tenant-${number}`
    await replica.change('/tenants', { id: tenant, audiences: ['vllm'], models: MODELS })
    for (let key = 0; key < KEYS; key++) {
      const { body: made } = await replica.change(`/tenants/${tenant}/keys`, {})
      const { body, text } = await replica.exchange(made.secret)
      if (!body?.access_token) throw new Error(`a key of ${tenant} was not exchanged: ${text}`)
      holders.push({ tenant, key: made.id, token: body.access_token })
    }
  }
  return holders
}
