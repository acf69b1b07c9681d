import { readFileSync } from 'node:fs'
import { type Client, credentials, loadPackageDefinition, type ServiceClientConstructor } from '@grpc/grpc-js'
import { fromJSON } from '@grpc/proto-loader'
import { decodeJwt } from 'jose'
import { parse } from 'yaml'
import type { Checks } from '../engine/checks.ts'
import { evaluate } from '../gateway-configs/agentgateway/cel.ts'
import { routesOf } from '../gateway-configs/agentgateway/file.ts'
import { Matrix } from './matrix.ts'
import { type Credential, type Setting, statuses, upTo } from './setting.ts'

/**
 * deploy/agentgateway/agentgateway-limits.yaml without agentgateway: the calls that its descriptors are for these tokens, as agentgateway's source
 * builds them, at the real rate limit service. One call for requests; for LLM tokens one with the cost 0 before the answer, and one with
 * the cost after it.
 */
export async function checkAgentgateway(checks: Checks, setting: Setting): Promise<void> {
  console.log("\nagentgateway's descriptors, sent by this suite")
  const { clock, service, tenant, envoy } = setting
  const matrix = new Matrix(checks, "the rate limit service, with agentgateway's descriptors")
  const client = clientOf(service.port)
  const requests = async (token: string, count: number) => {
    const found: number[] = []
    for (let i = 0; i < count; i++) found.push((await allowed(client, token, 'requests')) ? 200 : 429)
    return found
  }
  const answers = async (token: string, count: number) => {
    const found: number[] = []
    for (let i = 0; i < count; i++) {
      const passes = await allowed(client, token, 'tokens', 0)
      if (passes) await allowed(client, token, 'tokens', COST)
      found.push(passes ? 200 : 429)
    }
    return found
  }
  try {
    for (const bucket of ['tenant', 'key'] as const) {
      clock.nextDay()
      const made = (limits: object): Promise<Credential> =>
        bucket === 'tenant' ? tenant(limits) : tenant({}, limits)
      const cell = { bucket, by: 'token' } as const
      const three = await made({ requests_per_minute: 3 })
      await matrix.shows(
        { ...cell, limit: 'requests' },
        `3 requests a minute of a ${bucket}`,
        upTo(3, 5),
        () => requests(three.token, 5),
      )
      const four = await made({ requests_per_day: 4 })
      await matrix.shows(
        { ...cell, limit: 'requests_daily' },
        `4 requests a day of a ${bucket}, over two minutes`,
        upTo(4, 6),
        async () => {
          const first = await requests(four.token, 3)
          clock.nextMinute()
          return [...first, ...(await requests(four.token, 3))]
        },
      )
      for (const [limit, field, most, passing] of [
        ['tokens', 'tokens_per_minute', 40, 3],
        ['tokens_daily', 'tokens_per_day', 64, 5],
      ] as const) {
        const { token } = await made({ [field]: most })
        const name = `${most} LLM tokens (${limit}) of a ${bucket}, ${COST} an answer`
        await matrix.shows({ ...cell, limit }, name, upTo(passing, passing + 2), () =>
          answers(token, passing + 2),
        )
      }
    }
    const { token } = await tenant({})
    await checks.equal('a token without limits: no call', undefined, () => call(token, 'requests'))
    const shared = await tenant({ requests_per_minute: 5 })
    await checks.equal(
      'with Envoy on the same Redis: 5 of 5 requests a minute, over both',
      [200, 200, 200, 200, 200, 429],
      async () => [...(await statuses(envoy.url, shared.token, 2)), ...(await requests(shared.token, 4))],
    )
  } finally {
    client.close()
  }
  matrix.print()
}

const COST = 16
const FILE = new URL('../../deploy/agentgateway/agentgateway-limits.yaml', import.meta.url)
const UNITS = ['unknown', 'second', 'minute', 'hour', 'day']
const OK = 1

/** The request of one type; undefined: no descriptor of it is left, so agentgateway makes no call. */
function call(token: string, type: 'requests' | 'tokens', cost?: number): object | undefined {
  const policy = routesOf(parse(readFileSync(FILE, 'utf8'))).models.policies.remoteRateLimit
  const claims = decodeJwt(token)
  const descriptors = (policy?.descriptors ?? [])
    .filter(each => each.type === type)
    .flatMap(({ entries, limitOverride }) => {
      const [limit, ...values] = [limitOverride, ...entries.map(({ value }) => value)].map(each =>
        evaluate(each, { claims }),
      )
      if (!limit || [limit, ...values].some(each => 'error' in each)) return []
      const { unit, requestsPerUnit } = ('value' in limit ? limit.value : {}) as Record<string, never>
      return {
        entries: entries.map(({ key }, i) => ({ key, value: (values[i] as { value: string }).value })),
        limit: { requestsPerUnit, unit: UNITS.indexOf(unit ?? '') },
        ...(cost !== undefined && { hitsAddend: { value: cost } }),
      }
    })
  return descriptors.length === 0 ? undefined : { domain: policy?.domain, descriptors }
}

async function allowed(
  client: Client,
  token: string,
  type: 'requests' | 'tokens',
  cost?: number,
): Promise<boolean> {
  const request = call(token, type, cost)
  const { overallCode } = await new Promise<{ overallCode: number }>((resolve, reject) => {
    // biome-ignore lint/suspicious/noExplicitAny: methods are made from the descriptor
    ;(client as any).ShouldRateLimit(request, (error: Error | null, answer: { overallCode: number }) =>
      error ? reject(error) : resolve(answer),
    )
  })
  return overallCode === OK
}

function clientOf(port: number): Client {
  const field = (id: number, type: string) => ({ id, type })
  const list = (id: number, type: string) => ({ id, type, rule: 'repeated' })
  // The fields that are used of envoy/service/ratelimit/v3/rls.proto and envoy/extensions/common/ratelimit/v3/ratelimit.proto.
  const nested = {
    RateLimitRequest: { fields: { domain: field(1, 'string'), descriptors: list(2, 'RateLimitDescriptor') } },
    RateLimitDescriptor: {
      fields: {
        entries: list(1, 'Entry'),
        limit: field(2, 'RateLimitOverride'),
        hitsAddend: field(3, 'UInt64Value'),
      },
    },
    Entry: { fields: { key: field(1, 'string'), value: field(2, 'string') } },
    RateLimitOverride: { fields: { requestsPerUnit: field(1, 'uint32'), unit: field(2, 'int32') } },
    UInt64Value: { fields: { value: field(1, 'uint64') } },
    RateLimitResponse: { fields: { overallCode: field(1, 'int32') } },
    RateLimitService: {
      methods: { ShouldRateLimit: { requestType: 'RateLimitRequest', responseType: 'RateLimitResponse' } },
    },
  }
  const path = ['envoy', 'service', 'ratelimit', 'v3']
  const proto = path.reduceRight<object>((inner, name) => ({ nested: { [name]: inner } }), { nested })
  const found = [...path, 'RateLimitService']
    // biome-ignore lint/suspicious/noExplicitAny: the loader's tree of names
    .reduce((at: any, part) => at[part], loadPackageDefinition(fromJSON(proto)))
  return new (found as ServiceClientConstructor)(`127.0.0.1:${port}`, credentials.createInsecure())
}
