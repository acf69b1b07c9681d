import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { readHeader } from '../../src/snapshots/sealed-file.ts'
import type { SnapshotHeader } from '../../src/snapshots/snapshot.ts'
import { systemClock } from '../../src/system/clock.ts'
import { mintmark } from '../cli/mintmark.ts'
import { jws, newPair } from '../identity-providers/assertions.ts'
import { scrape } from '../observability/metrics-text.ts'
import { caughtUp } from '../support/caught-up.ts'
import { backUp, type DatabaseBackup } from '../support/database-backup.ts'
import { startReplica } from '../support/replicas.ts'
import { request, startTestService, type TestService } from '../support/test-service.ts'
import { until } from '../support/until.ts'
import { receiverOf } from '../usage/reports.ts'

/** Jobs that run each second or each five seconds run often. */
const clock = {
  ...systemClock,
  every: (ms: number, task: () => Promise<void>) =>
    systemClock.every(ms === 1_000 || ms === 5_000 ? 250 : ms, task),
}
const snapshots = mkdtempSync(join(tmpdir(), 'mintmark-restore-'))
const empty = mkdtempSync(join(tmpdir(), 'mintmark-restore-'))

/** What ends after the backup, by its name. */
const NAMES = ['revoked', 'disabled', 'rotated', 'secret', 'suspended', 'deleted'] as const
type Name = (typeof NAMES)[number]

let mintmarkService: TestService
let backup: DatabaseBackup | undefined
let live: { keyId: string; secret: string; tenantId: string }
let dead: Record<Name, { keyId: string; secret: string; secretId: string; tenantId: string }>
let adminToken: { id: string; secret: string }
let revokedKid: string
let deadToken: string
/** Of the key that lives on. */
let endedToken: string
/** Two providers with a credential: of the first one the credential is deleted, of the second one both. */
const pods = ['one', 'two'].map(name => ({
  pair: newPair(name),
  iss: `https://${name}.example.test`,
  provider: '',
  credential: '',
  key: '',
}))
let checkpoint: string
let reporterId: string
/** Rotated after the backup. */
let rotatedReporter: { id: string; secret_id: string; secret: string }
/** Exported after the last change, as rows. */
let trail: string[]
let others: TestService[] = []

const exchange = (service: TestService, client_secret: string) =>
  service.token({ grant_type: 'client_credentials', client_secret })
const warning = async (service: TestService) =>
  (await request(`${service.service.urls.ops}/readyz`)).body.warning as string | undefined
const kids = async (service: TestService) => {
  const { body } = await request(`${service.service.urls.public}/.well-known/jwks.json`)
  return (body.keys as { kid: string }[]).map(({ kid }) => kid)
}
const asAdmin = (service: TestService) =>
  request(`${service.service.urls.admin}/admin/v1/tenants`, {
    headers: { authorization: `Bearer ${adminToken.secret}` },
  })
const unreconciled = async (service: TestService) =>
  (await scrape(service.service.urls.ops)).series.get('mintmark_restore_unreconciled')

async function openProviders(): Promise<void> {
  const { admin } = mintmarkService
  for (const pod of pods) {
    const made = await admin('POST', '/identity-providers', {
      kind: 'kubernetes',
      issuer: pod.iss,
      audiences: ['mintmark'],
      algorithms: ['ES256'],
      jwks: { keys: [pod.pair.jwk] },
    })
    pod.provider = made.body.id
    const credential = {
      type: 'federated',
      provider: pod.provider,
      subject: 'system:serviceaccount:live:pod',
    }
    const { body } = await admin('POST', '/tenants/live/workload-keys', { name: 'pod', credential })
    Object.assign(pod, { key: body.key, credential: body.credential.id })
  }
}

/** Statuses of an exchange of an assertion for each of `pods`. */
const assertions = (service: TestService) =>
  Promise.all(
    pods.map(async ({ pair, iss }) => {
      const now = Math.floor(Date.now() / 1000)
      const claims = { iss, aud: 'mintmark', sub: 'system:serviceaccount:live:pod', iat: now, exp: now + 600 }
      const answer = await service.token({
        grant_type: 'urn:ietf:params:oauth:grant-type:jwt-bearer',
        assertion: jws(pair, { alg: 'ES256', kid: pair.kid }, claims),
      })
      return answer.status
    }),
  )

/** The status of a report without a record. */
const report = async (secret: string) => {
  const headers = { authorization: `Bearer ${secret}`, 'content-type': 'application/json' }
  return (await request(`${receiverOf(mintmarkService)}/v1/logs`, { method: 'POST', headers, body: '{}' }))
    .status
}

const check = async (service: TestService, token: string) => {
  const headers = { authorization: `Bearer ${token}` }
  return (await request(`${service.service.urls.gateway}/check/v1/models`, { headers })).status
}

/** Its ended token stays rejected, and its new ones are accepted. */
async function expectEndedTokens(service: TestService): Promise<void> {
  expect(await check(service, endedToken)).toBe(401)
  await until(
    'a new token is accepted',
    async () => check(service, (await exchange(service, live.secret)).body.access_token),
    status => status === 200,
  )
  expect(await check(service, endedToken)).toBe(401)
}

/** Statuses of what ended, in the order of NAMES; a revoked one looks like an unknown one. */
const answers = async (service: TestService) =>
  Promise.all(NAMES.map(async name => (await exchange(service, dead[name].secret)).status))
const REFUSED = [401, 400, 401, 401, 400, 401]

const command = (...args: string[]) =>
  mintmark(args, { env: { ...mintmarkService.environment, MINTMARK_SNAPSHOT_DIR: snapshots } })
const replica = async (env: Record<string, string>) => {
  const started = await startReplica(mintmarkService, env, { clock })
  others.push(started)
  return started
}

beforeAll(async () => {
  mintmarkService = await startTestService({
    env: { MINTMARK_SNAPSHOT_DIR: snapshots, MINTMARK_OTLP_HTTP_PORT: '0' },
    overrides: { clock },
  })
  live = await mintmarkService.tenantWithKey({ id: 'live' })
  const made: Partial<typeof dead> = {}
  for (const name of NAMES) made[name] = await mintmarkService.tenantWithKey({ id: `t-${name}` })
  dead = made as typeof dead
  const issued = await mintmarkService.admin('POST', '/admin-tokens', { name: 'ci', role: 'operator' })
  adminToken = issued.body
  const published = await mintmarkService.admin('GET', '/signing-keys')
  revokedKid = published.body.data.find(({ state }: { state: string }) => state === 'active').kid
  await mintmarkService.admin('POST', `/keys/${dead.secret.keyId}/rotate`, { overlap_seconds: 86_400 })
  await openProviders()
  reporterId = (await mintmarkService.admin('POST', '/usage-reporters', { audiences: ['vllm'] })).body.id
  rotatedReporter = (await mintmarkService.admin('POST', '/usage-reporters', { audiences: ['vllm'] })).body
  expect(await report(rotatedReporter.secret)).toBe(200)
  expect(await assertions(mintmarkService)).toEqual([200, 200])
  backup = await backUp(mintmarkService.database)
  await settled()
  deadToken = (await exchange(mintmarkService, dead.revoked.secret)).body.access_token
  endedToken = (await exchange(mintmarkService, live.secret)).body.access_token
  await end()
  checkpoint = (await mintmarkService.admin('GET', '/audit-checkpoint')).body.jws
  trail = await exportTrail()
})
afterEach(async () => {
  await Promise.all(others.map(service => service.stop()))
  others = []
})
afterAll(async () => {
  await mintmarkService.stop()
  await backup?.drop()
  for (const folder of [snapshots, empty]) rmSync(folder, { recursive: true })
})

async function exportTrail(): Promise<string[]> {
  const { MINTMARK_ROOT_TOKEN = '' } = mintmarkService.environment
  const { stdout } = await mintmark(['audit', 'export'], {
    env: { MINTMARK_URL: mintmarkService.service.urls.admin, MINTMARK_ADMIN_TOKEN: MINTMARK_ROOT_TOKEN },
  })
  return stdout.trim().split('\n')
}

/** Until the service has connected again. */
const settled = () =>
  until(
    'the service writes again',
    () => mintmarkService.admin('PATCH', '/tenants/live', { description: 'x' }),
    ({ status }) => status === 200,
  )

async function end(): Promise<void> {
  const { admin } = mintmarkService
  const done = [
    await admin('POST', `/keys/${dead.revoked.keyId}/revoke`, { reason: 'leaked' }),
    await admin('POST', `/keys/${dead.disabled.keyId}/disable`),
    await admin('POST', `/keys/${dead.rotated.keyId}/rotate`, { overlap_seconds: 0 }),
    await admin('POST', `/keys/${dead.secret.keyId}/secrets/${dead.secret.secretId}/revoke`),
    await admin('POST', '/tenants/t-suspended/suspend'),
    await admin('DELETE', '/tenants/t-deleted?cascade=true'),
    await admin('POST', `/admin-tokens/${adminToken.id}/revoke`),
    await admin('POST', `/signing-keys/${revokedKid}/revoke`, { reason: 'leaked' }),
    ...(await Promise.all(
      pods.map(({ key, credential }) => admin('DELETE', `/keys/${key}/credentials/${credential}`)),
    )),
    await admin('DELETE', `/identity-providers/${pods[1]?.provider}`),
    await admin('DELETE', `/usage-reporters/${reporterId}`),
    await admin('POST', `/usage-reporters/${rotatedReporter.id}/rotate`, { overlap_seconds: 0 }),
    await admin('POST', '/token-revocations', { key: live.keyId }),
  ]
  expect(done.map(({ status }) => status)).toEqual([
    200, 200, 201, 200, 200, 204, 200, 200, 204, 204, 204, 204, 201, 201,
  ])
  expect(await assertions(mintmarkService)).toEqual([400, 400])
  expect(await answers(mintmarkService)).toEqual(REFUSED)
}

describe('a database that is restored under a running replica', () => {
  it('brings nothing back: exchanges, /check, the admin API and the JWKS refuse what ended', async () => {
    await backup?.restore()
    // From the first moment on, also while the replica reloads.
    for (let count = 0; count < 40; count++) {
      expect(await answers(mintmarkService)).toEqual(REFUSED)
      expect(await report(rotatedReporter.secret)).toBe(401)
      expect(await assertions(mintmarkService)).toEqual([400, 400])
      expect(await kids(mintmarkService)).not.toContain(revokedKid)
    }
    await until(
      'noticed',
      () => unreconciled(mintmarkService),
      value => value === 1,
    )
    expect(await answers(mintmarkService)).toEqual(REFUSED)
    expect(await kids(mintmarkService)).not.toContain(revokedKid)
    expect((await exchange(mintmarkService, live.secret)).status).toBe(200)
    await expectEndedTokens(mintmarkService)
    expect((await asAdmin(mintmarkService)).status).toBe(401)
    expect(await check(mintmarkService, deadToken)).toBe(401)
  })

  it('says so in /readyz, the log, the metrics and the audit trail', async () => {
    const said = await until('a warning', () => warning(mintmarkService), Boolean)
    expect(said).toMatch(
      /^The database was restored to an older state\. 13 objects .* "mintmark restore reconcile"/,
    )
    const { series } = await scrape(mintmarkService.service.urls.ops)
    expect(series.get('mintmark_tombstones_pending')).toBe(13)
    expect(
      mintmarkService.logs.some(line => line.includes('the database was restored to an older state')),
    ).toBe(true)
    const events = await mintmarkService.admin('GET', '/audit-events?action=restore.notice')
    expect(events.body.data).toHaveLength(1)
    expect(events.body.data[0]).toMatchObject({ actor: 'system', changes: { tombstones: { to: 13 } } })
  })

  it('is known to a replica that starts later without a snapshot', async () => {
    const other = await replica({ MINTMARK_SNAPSHOT_DIR: empty })
    expect(await answers(other)).toEqual(REFUSED)
    expect(await kids(other)).not.toContain(revokedKid)
    expect(await assertions(other)).toEqual([400, 400])
    expect((await asAdmin(other)).status).toBe(401)
    expect((await exchange(other, live.secret)).status).toBe(200)
    expect(await unreconciled(other)).toBe(1)
  })

  it('is planned, changes nothing without --apply, and waives by name with a reason only', async () => {
    const status = await command('restore', 'status', '-o', 'json')
    expect(JSON.parse(status.stdout)).toMatchObject({
      state: 'unreconciled',
      restores: [{ reconciled_at: null }],
      pending: expect.arrayContaining([
        expect.objectContaining({ kind: 'tenant_suspended', id: 't-suspended' }),
      ]),
    })
    const plan = await command('restore', 'reconcile', '-o', 'json')
    const steps = JSON.parse(plan.stdout).map(({ kind, id }: { kind: string; id: string }) => `${kind} ${id}`)
    expect(steps.toSorted()).toEqual(
      [
        `key_revoked ${dead.revoked.keyId}`,
        `key_disabled ${dead.disabled.keyId}`,
        `secret_ended ${dead.rotated.secretId}`,
        `secret_ended ${dead.secret.secretId}`,
        'tenant_suspended t-suspended',
        'tenant_deleted t-deleted',
        `admin_token_revoked ${adminToken.id}`,
        `signing_key_revoked ${revokedKid}`,
        ...pods.map(({ credential }) => `credential_deleted ${credential}`),
        `provider_deleted ${pods[1]?.provider}`,
        `usage_reporter_deleted ${reporterId}`,
        `usage_reporter_secret_ended ${rotatedReporter.secret_id}`,
      ].toSorted(),
    )
    expect((await mintmarkService.admin('GET', `/keys/${dead.revoked.keyId}`)).body.state).toBe('active')
    expect((await command('restore', 'reconcile', '--waive', 't-suspended')).code).toBe(2)
    expect((await command('restore', 'reconcile', '--waive', 'key_unknown', '--reason', 'x')).code).toBe(4)
    expect(await unreconciled(mintmarkService)).toBe(1)
  })

  it('agrees again after --apply: by ordinary changes with audit rows, and the warning ends', async () => {
    const reason = 'resumed after the backup, ticket 4711'
    const done = await command(
      'restore',
      'reconcile',
      '--apply',
      '--waive',
      't-suspended',
      '--reason',
      reason,
    )
    expect([done.code, done.stderr]).toEqual([
      0,
      expect.stringContaining('Ended 12 objects again, waived 1.'),
    ])
    await until(
      'reconciled',
      () => unreconciled(mintmarkService),
      value => value === 0,
    )
    await until(
      'no warning',
      () => warning(mintmarkService),
      value => value === undefined,
    )
    const expected = [...REFUSED]
    expected[NAMES.indexOf('suspended')] = 200
    expect(await answers(mintmarkService)).toEqual(expected)
    expect(await report(rotatedReporter.secret)).toBe(401)
    const fresh = await replica({ MINTMARK_SNAPSHOT_DIR: empty })
    expect(await answers(fresh)).toEqual(expected)
    expect(await assertions(fresh)).toEqual([400, 400])
    expect((await asAdmin(fresh)).status).toBe(401)
    expect(await kids(fresh)).not.toContain(revokedKid)
    const { data } = (await mintmarkService.admin('GET', '/audit-events?limit=40')).body
    const actions = data.map(({ action }: { action: string }) => action)
    for (const action of [
      'key.revoke',
      'key.disable',
      'tenant.delete',
      'admin-token.revoke',
      'restore.waive',
    ])
      expect(actions).toContain(action)
    expect(actions).toContain('restore.reconcile')
    expect((await command('restore', 'reconcile')).stderr).toContain('Nothing to reconcile')
  })

  it('leaves checkpoints that contradict the trail, until "audit continue" has signed which', async () => {
    const file = join(empty, 'checkpoints')
    writeFileSync(file, `${checkpoint}\n`)
    const env = { ...mintmarkService.environment, MIGRATE_DATABASE_URL: mintmarkService.database.ownerUrl }
    const verify = () => mintmark(['audit', 'verify', '--checkpoint', file], { env })
    expect((await verify()).code).toBe(3)
    const continued = await mintmark(
      ['audit', 'continue', '--checkpoint', file, '--reason', 'restored the dump of 03:00'],
      { env },
    )
    expect(continued.code, continued.stderr).toBe(0)
    writeFileSync(file, `${checkpoint}\n${continued.stdout}`)
    const verified = await verify()
    expect([verified.code, verified.stderr]).toEqual([
      0,
      expect.stringContaining('restored the dump of 03:00'),
    ])
    const again = await mintmark(['audit', 'continue', '--checkpoint', file, '--reason', 'x'], { env })
    expect([again.code, again.stderr]).toEqual([5, expect.stringContaining('needs no continuation')])
    // Without the keys of the installation nothing explains a cut.
    const forged = await mintmark(['audit', 'continue', '--checkpoint', file, '--reason', 'x'], {
      env: { ...env, MINTMARK_ENCRYPTION_KEYS: `e1:${'A'.repeat(43)}` },
    })
    expect(forged.code).toBe(3)
  })
})

/** Resolves when a snapshot has everything that the service has applied. */
async function written(): Promise<void> {
  await caughtUp(mintmarkService)
  const { position } = mintmarkService.service.changes
  const headers = () => {
    const names = readdirSync(snapshots).filter(name => name.endsWith('.snapshot'))
    return Promise.all(names.map(name => readHeader<SnapshotHeader>(join(snapshots, name))))
  }
  const has = (all: SnapshotHeader[]) => all.some(header => header.position.number === position)
  await until('a snapshot of the last change', headers, has, 30_000)
}

describe('a database that is restored while no replica runs', () => {
  it('is noticed by the next start with a snapshot, before anything is served', async () => {
    await written()
    await mintmarkService.service.stop()
    await backup?.restore()
    const before = await command('restore', 'status')
    expect(before.stdout).toContain('No replica has noticed it yet.')
    const started = await replica({ MINTMARK_SNAPSHOT_DIR: snapshots })
    const expected = [...REFUSED]
    // It was waived before: the restore that the waiver was for is not in this database.
    expected[NAMES.indexOf('suspended')] = 200
    expect(await answers(started)).toEqual(expected)
    expect(await kids(started)).not.toContain(revokedKid)
    expect(await assertions(started)).toEqual([400, 400])
    expect((await asAdmin(started)).status).toBe(401)
    expect((await exchange(started, live.secret)).status).toBe(200)
    await expectEndedTokens(started)
    await until('a warning', () => warning(started), Boolean)
    const done = await command('restore', 'reconcile', '--apply')
    expect(done.code, done.stderr).toBe(0)
    await until(
      'reconciled',
      () => unreconciled(started),
      value => value === 0,
    )
    expect(await answers(started)).toEqual(expected)
  })

  it('is not a restore when the snapshot is older than the database, and unknown without a snapshot', async () => {
    const started = await replica({ MINTMARK_SNAPSHOT_DIR: snapshots })
    expect(await unreconciled(started)).toBe(0)
    const status = await command('restore', 'status', '-q')
    expect(status.stdout.trim()).toBe('in order')
    await started.stop()
    await backup?.restore()
    const { stdout } = await mintmark(['restore', 'status'], {
      env: { ...mintmarkService.environment, MINTMARK_SNAPSHOT_DIR: join(empty, 'none') },
    })
    expect(stdout).toContain('it cannot be known what happened after that row')
    expect(stdout).toContain('- API keys that were revoked or disabled')
    expect(stdout).toContain('- signing keys that were created')
    expect(stdout).toContain('No snapshot was compared')
  })
})

describe('a database that is restored while nothing remembers it but an exported audit trail', () => {
  const file = (name: string, rows: readonly string[]) => {
    const path = join(empty, name)
    writeFileSync(path, `${rows.join('\n')}\n`)
    return path
  }
  const without = (...args: string[]) =>
    mintmark(args, {
      env: { ...mintmarkService.environment, MINTMARK_SNAPSHOT_DIR: join(empty, 'none') },
    })

  it('is refused a trail that was edited, has a gap, begins too late, or belongs to another installation', async () => {
    const begin = trail.findIndex(row => JSON.parse(row).action === 'key.revoke')
    const edited = trail.map((row, place) => (place === begin ? row.replace('leaked', 'edited') : row))
    const refused = async (name: string, rows: readonly string[]) => {
      const { code, stderr } = await without('restore', 'status', '--trail', file(name, rows))
      return [code, stderr]
    }
    expect(await refused('edited', edited)).toEqual([3, expect.stringContaining('was edited')])
    expect(await refused('gap', trail.toSpliced(begin, 1))).toEqual([3, expect.stringContaining('missing')])
    expect(await refused('late', trail.slice(begin + 1))).toEqual([
      3,
      expect.stringContaining('begins after the backup'),
    ])
    const other = await startTestService()
    try {
      await other.tenantWithKey({ id: 'live' })
      await other.admin('POST', '/tenants/live/suspend')
      const { body } = await other.admin('GET', '/audit-events?limit=100')
      const { code, stderr } = await without(
        'restore',
        'reconcile',
        '--apply',
        '--trail',
        file('foreign', body.data.map((row: object) => JSON.stringify(row)).reverse()),
      )
      expect([code, stderr]).toEqual([3, expect.stringContaining('belongs to another installation')])
    } finally {
      await other.stop()
    }
  })

  it('lists what the trail has as ended, and the changes to be made again', async () => {
    // In two files that overlap.
    const half = Math.floor(trail.length / 2)
    const files = [file('one', trail.slice(0, half + 3)), file('two', trail.slice(half))]
    const words = files.flatMap(each => ['--trail', each])
    const status = JSON.parse((await without('restore', 'status', ...words, '-o', 'json')).stdout)
    expect(status).toMatchObject({ state: 'unreconciled', snapshots: [] })
    expect(
      status.pending.map(({ kind, id }: { kind: string; id: string }) => `${kind} ${id}`).toSorted(),
    ).toEqual(
      [
        `key_revoked ${dead.revoked.keyId}`,
        `key_disabled ${dead.disabled.keyId}`,
        `secret_ended ${dead.rotated.secretId}`,
        `secret_ended ${dead.secret.secretId}`,
        'tenant_suspended t-suspended',
        'tenant_deleted t-deleted',
        `admin_token_revoked ${adminToken.id}`,
        `signing_key_revoked ${revokedKid}`,
        ...pods.map(({ credential }) => `credential_deleted ${credential}`),
        `provider_deleted ${pods[1]?.provider}`,
        `usage_reporter_deleted ${reporterId}`,
        `usage_reporter_secret_ended ${rotatedReporter.secret_id}`,
      ].toSorted(),
    )
    const repeated = status.trail.changes.map(({ action, target }: { action: string; target: string }) => [
      action,
      target,
    ])
    expect(repeated).toContainEqual(['key.rotate', `key ${dead.rotated.keyId}`])
    expect(repeated).toContainEqual(['usage-reporter.rotate', `usage-reporter ${rotatedReporter.id}`])
    expect(repeated).not.toContainEqual(['key.revoke', `key ${dead.revoked.keyId}`])
    const { stdout } = await without('restore', 'status', ...words)
    expect(stdout).toContain('Changes that the database lost, to be made again:')
    expect(stdout).toContain('the last one of the audit trail')
  })

  it('ends it again before a replica starts', async () => {
    const path = file('trail', trail)
    const done = await without('restore', 'reconcile', '--trail', path, '--apply')
    expect([done.code, done.stderr]).toEqual([
      0,
      expect.stringContaining('Ended 13 objects again, waived 0.'),
    ])
    const started = await replica({ MINTMARK_SNAPSHOT_DIR: join(empty, 'none') })
    expect(await answers(started)).toEqual(REFUSED)
    expect(await assertions(started)).toEqual([400, 400])
    expect(await kids(started)).not.toContain(revokedKid)
    expect((await asAdmin(started)).status).toBe(401)
    expect((await exchange(started, live.secret)).status).toBe(200)
    expect(await unreconciled(started)).toBe(0)
    const again = await without('restore', 'reconcile', '--trail', path)
    expect(again.stderr).toContain('Nothing to reconcile')
  })
})
