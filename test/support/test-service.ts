import { randomBytes } from 'node:crypto'
import { setImmediate, setTimeout as sleep } from 'node:timers/promises'
import { readConfig } from '../../src/config/config.ts'
import { Env } from '../../src/config/env.ts'
import { type Overrides, type Service, startService } from '../../src/service/service.ts'
import { createLogger } from '../../src/system/logger.ts'
import { expectDocumented } from './documented-answers.ts'
import { PATIENT } from './patient.ts'
import { createTestDatabase, type TestDatabase } from './test-database.ts'

export interface JsonAnswer {
  status: number
  headers: Headers
  // biome-ignore lint/suspicious/noExplicitAny: tests read responses of every shape
  body: any
  text: string
}

/** A real service on a real database, called over real HTTP; its log lines are recorded. */
export interface TestService {
  service: Service
  database: TestDatabase
  environment: Record<string, string>
  rootToken: string
  logs: string[]
  /**
   * A call to the admin API as root; its response is checked against the OpenAPI document. `path` begins after
   * /admin/v1.
   */
  admin(method: string, path: string, body?: unknown, headers?: Record<string, string>): Promise<JsonAnswer>
  /** POST /oauth/token with these form parameters. */
  token(parameters: Record<string, string>, headers?: Record<string, string>): Promise<JsonAnswer>
  /** Creates a tenant, with a model and an adapter when they are given, and a key; returns both and the secret. */
  tenantWithKey(
    tenant?: Record<string, unknown>,
    key?: Record<string, unknown>,
  ): Promise<{ tenantId: string; keyId: string; secret: string; secretId: string }>
  stop(): Promise<void>
}

export const testEnvironment = (): Record<string, string> => ({
  NODE_ENV: 'test',
  LOG_LEVEL: 'info',
  MINTMARK_ISSUER: 'https://tokens.example.test',
  MINTMARK_PUBLIC_PORT: '0',
  MINTMARK_ADMIN_PORT: '0',
  MINTMARK_GATEWAY_PORT: '0',
  MINTMARK_GATEWAY_GRPC_PORT: '0',
  MINTMARK_OPS_PORT: '0',
  // No load balancer has to see that a service of a test is stopping; test/service/drain.test.ts has the delay that is the default.
  MINTMARK_DRAIN_DELAY_SECONDS: '0',
  // Tests send more wrong keys than anybody may; test/oauth/failure-limit.test.ts has a limit of its own.
  MINTMARK_FAILURES_PER_MINUTE: '1000000',
  MINTMARK_ADMIN_FAILURES_PER_MINUTE: '1000000',
  MINTMARK_ROOT_TOKEN: `root-${randomBytes(24).toString('hex')}`,
  MINTMARK_PEPPERS: `p1:${randomBytes(32).toString('base64url')}`,
  MINTMARK_ENCRYPTION_KEYS: `e1:${randomBytes(32).toString('base64url')}`,
})

/** `env` overrides variables; `database` shares one between services; `awaitReady: false` returns before it is ready. */
export async function startTestService(
  options: {
    env?: Record<string, string>
    database?: TestDatabase
    overrides?: Overrides
    awaitReady?: boolean
  } = {},
): Promise<TestService> {
  const database = options.database ?? (await createTestDatabase())
  const environment: Record<string, string> = {
    ...testEnvironment(),
    DATABASE_URL: database.applicationUrl,
    ...options.env,
  }
  const logs: string[] = []
  const logger = createLogger(environment.LOG_LEVEL ?? 'info', { write: line => void logs.push(line) })
  // Behind a proxy it is one that a test makes fail.
  const databaseTimeouts = environment.DATABASE_URL === database.applicationUrl ? PATIENT : undefined
  const overrides = { logger, databaseTimeouts, ...options.overrides }
  const service = await startService(readConfig(new Env(environment)), overrides)
  if (options.awaitReady !== false) await service.ready
  const rootToken = environment.MINTMARK_ROOT_TOKEN ?? ''
  const admin: TestService['admin'] = async (method, path, body, headers = {}) => {
    const answer = await request(`${service.urls.admin}/admin/v1${path}`, {
      method,
      headers: {
        authorization: `Bearer ${rootToken}`,
        ...(body !== undefined && { 'content-type': 'application/json' }),
        ...headers,
      },
      ...(body !== undefined && { body: typeof body === 'string' ? body : JSON.stringify(body) }),
    })
    expectDocumented(method, path, answer)
    return answer
  }
  return {
    service,
    database,
    environment,
    rootToken,
    logs,
    admin,
    token: (parameters, headers = {}) =>
      request(`${service.urls.public}/oauth/token`, {
        method: 'POST',
        headers,
        body: new URLSearchParams(parameters),
      }),
    tenantWithKey: (tenant, key) =>
      tenantWithKey(overrides.databaseTimeouts === PATIENT ? admin : repeating(admin), tenant, key),
    stop: async () => {
      await service.stop()
      if (!options.database) await database.drop()
    },
  }
}

async function tenantWithKey(
  admin: TestService['admin'],
  tenant: Record<string, unknown> = {},
  key: Record<string, unknown> = {},
) {
  const id = typeof tenant.id === 'string' ? tenant.id : `t-${randomBytes(6).toString('hex')}`
  const idempotently = { 'idempotency-key': randomBytes(12).toString('hex') }
  const made = await admin('POST', '/tenants', { ...tenant, id }, idempotently)
  if (made.status !== 201) throw new Error(`the tenant was refused: ${made.text}`)
  // A repetition under a key would not show the secret.
  const { status, text, body } = await admin('POST', `/tenants/${id}/keys`, key)
  if (status !== 201) throw new Error(`the key was refused: ${text}`)
  return {
    tenantId: id,
    keyId: body.id as string,
    secret: body.secret as string,
    secretId: body.secret_id as string,
  }
}

/** Repeats what was answered 503: on a busy machine Postgres may take longer than a service with the times of production waits. */
const repeating =
  (admin: TestService['admin']): TestService['admin'] =>
  async (...call) => {
    let answer = await admin(...call)
    for (let tries = 1; answer.status === 503 && tries < 5; tries++) {
      await sleep(500)
      answer = await admin(...call)
    }
    return answer
  }

/** One HTTP request; the body is parsed when it is JSON. */
export async function request(url: string, init: RequestInit = {}): Promise<JsonAnswer> {
  const response = await fetch(url, init)
  const text = await response.text()
  // A service in this process logs a request after it has written the response.
  await setImmediate()
  await setImmediate()
  const isJson = /[/+]json/.test(response.headers.get('content-type') ?? '')
  return {
    status: response.status,
    headers: response.headers,
    text,
    body: isJson && text ? JSON.parse(text) : undefined,
  }
}
