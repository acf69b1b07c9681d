import { chmod, mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type ServiceProcess, startProcess } from '../support/service-process.ts'
import { type JsonAnswer, request } from '../support/test-service.ts'
import { until } from '../support/until.ts'

/**
 * kill -9, of the service and of its embedded Postgres, during writes. The ledger of responses is kept outside: every
 * acknowledged write must exist afterwards, and no revocation may be undone.
 */

const ROOT = `root-${'r'.repeat(40)}`
let folder: string
let service: ServiceProcess | undefined
let urls: { public: string; admin: string; ops: string }

interface Entry {
  tenant: string
  keyId: string
  secret: string
  /** `asked`: the result was not acknowledged. */
  revoked: 'no' | 'asked' | 'yes'
}
const ledger: Entry[] = []
let jwks = ''

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'mintmark-crash-'))
  // As root the database runs as another user, which needs access.
  await chmod(folder, 0o755)
  await start()
}, 120_000)
afterAll(async () => {
  if (service?.child.exitCode === null) service.child.kill('SIGTERM')
  await service?.exited
  await killPostgres()
  await rm(folder, { recursive: true, force: true })
}, 60_000)

function launch(): ServiceProcess {
  const folders = { MINTMARK_DATA_DIR: join(folder, 'data'), MINTMARK_KEYS_DIR: join(folder, 'keys') }
  const ports = {
    MINTMARK_PUBLIC_PORT: '0',
    MINTMARK_ADMIN_PORT: '0',
    MINTMARK_GATEWAY_PORT: '0',
    MINTMARK_GATEWAY_GRPC_PORT: '0',
    MINTMARK_OPS_PORT: '0',
  }
  service = startProcess({
    ...folders,
    ...ports,
    MINTMARK_ROOT_TOKEN: ROOT,
    MINTMARK_DRAIN_DELAY_SECONDS: '0',
  })
  return service
}

async function start(): Promise<void> {
  const service = launch()
  urls = await service.ready(90_000)
}

const post = (path: string, body: object): Promise<JsonAnswer> =>
  request(`${urls.admin}/admin/v1${path}`, {
    method: 'POST',
    headers: { authorization: `Bearer ${ROOT}`, 'content-type': 'application/json' },
    body: JSON.stringify(body),
  })

const exchange = (secret: string) =>
  request(`${urls.public}/oauth/token`, {
    method: 'POST',
    body: new URLSearchParams({ grant_type: 'client_credentials', client_secret: secret }),
  })

/** Writes until requests fail, and records the responses. */
async function write(name: string): Promise<void> {
  for (let count = 0; ; count++) {
    try {
      const tenant = `${name}-${count}`
      if ((await post('/tenants', { id: tenant })).status !== 201) return
      const { status, body } = await post(`/tenants/${tenant}/keys`, {})
      if (status !== 201) return
      const entry: Entry = { tenant, keyId: body.id, secret: body.secret, revoked: 'no' }
      ledger.push(entry)
      if (count % 2 === 0) continue
      entry.revoked = 'asked'
      if ((await post(`/keys/${entry.keyId}/revoke`, {})).status === 200) entry.revoked = 'yes'
    } catch {
      return
    }
  }
}

async function postmaster(): Promise<number | undefined> {
  const text = await readFile(join(folder, 'data', 'postgres', 'data', 'postmaster.pid'), 'utf8').catch(
    () => '',
  )
  return text ? Number(text.split('\n')[0]) : undefined
}

async function killPostgres(): Promise<void> {
  const pid = await postmaster()
  if (!pid) return
  try {
    process.kill(pid, 'SIGKILL')
  } catch {
    // It has ended already.
  }
}

describe.each([
  ['both at the same moment', async () => void (await Promise.all([killPostgres(), service?.kill()]))],
  ['the service', async () => service?.kill()],
])('kill -9 of %s while four clients write', (how, kill) => {
  it('loses no acknowledged write, and undoes no revocation', async () => {
    const known = ledger.length
    const writers = [0, 1, 2, 3].map(name => write(`${how.replace(/\W/g, '').toLowerCase()}-${name}`))
    await until(
      'enough was written',
      () => ledger.length,
      length => length > known + 20,
    )
    if (!jwks) jwks = (await request(`${urls.public}/.well-known/jwks.json`)).text
    await kill()
    await Promise.all(writers)
    await start()
    expect((await request(`${urls.public}/.well-known/jwks.json`)).text).toBe(jwks)
    const seen = await Promise.all(
      ledger.map(async entry => ({ ...entry, status: (await exchange(entry.secret)).status })),
    )
    expect(seen.filter(({ revoked, status }) => revoked === 'no' && status !== 200)).toEqual([])
    expect(seen.filter(({ revoked, status }) => revoked === 'yes' && status !== 401)).toEqual([])
    expect(seen.filter(({ status }) => status !== 200 && status !== 401)).toEqual([])
    expect(seen.filter(({ revoked }) => revoked === 'yes').length).toBeGreaterThan(3)
  }, 120_000)
})

it('SIGTERM stops the embedded Postgres with the service, also while it starts, and the next start has a consistent state', async () => {
  const pid = await postmaster()
  service?.child.kill('SIGTERM')
  expect(await service?.exited).toMatchObject({ code: 0, signal: null })
  expect(() => process.kill(pid ?? 0, 0)).toThrow(/ESRCH/)

  const starting = launch()
  const next = await until('a postmaster', postmaster, Boolean, 30_000)
  starting.child.kill('SIGTERM')
  expect(await starting.exited).toMatchObject({ code: 0, signal: null })
  expect(() => process.kill(next ?? 0, 0)).toThrow(/ESRCH/)

  await start()
  const [first] = ledger.filter(({ revoked }) => revoked === 'no')
  expect((await exchange(first?.secret ?? '')).status).toBe(200)
}, 60_000)
