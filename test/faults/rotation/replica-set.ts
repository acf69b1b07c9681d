import { rewriteSigningKeys } from '../../support/sealed-rows.ts'
import { type ServiceProcess, startProcess } from '../../support/service-process.ts'
import { TcpProxy } from '../../support/tcp-proxy.ts'
import { createTestDatabase, type TestDatabase } from '../../support/test-database.ts'
import { type JsonAnswer, request, testEnvironment } from '../../support/test-service.ts'
import { asLines, type Bound, Report } from '../environment/report.ts'

/** The form of the run: short for every change, full for releases. */
export const FULL = process.env.ROTATION_FULL === '1'

/** How long to wait for untimed events, in milliseconds: no noise of the machine takes as long. */
export const PATIENCE_MS = 120_000

/** Printed with its usual bound and not enforced, as in the experiments of test/faults. */
export function showMeasurement(name: string, value: number, usual: Bound): void {
  const report = new Report()
  report.measurement(name, value, usual)
  console.log(asLines(report.figures))
}

interface Member {
  process: ServiceProcess
  urls: { public: string; admin: string; ops: string }
  /** Its connection to Postgres. */
  network: TcpProxy
}

/** Replicas of one installation, each a separate process that reaches Postgres through its own proxy. */
export interface ReplicaSet {
  database: TestDatabase
  environment: Readonly<Record<string, string>>
  members: Member[]
  admin(method: string, path: string, body?: object): Promise<JsonAnswer>
  /** A key of a new tenant. */
  makeKey(): Promise<string>
  stop(): Promise<void>
}

export async function startReplicaSet(size: number, env: Record<string, string> = {}): Promise<ReplicaSet> {
  const database = await createTestDatabase()
  const shared: Record<string, string> = {
    ...testEnvironment(),
    MINTMARK_SHORT_PUBLISH_LEAD: 'allowed',
    ...env,
  }
  const start = async (): Promise<Member> => {
    const network = await TcpProxy.before(database.applicationUrl)
    const { url } = network
    const process = startProcess({ ...shared, DATABASE_URL: url, DATABASE_URL_DIRECT: url })
    return { process, network, urls: await process.ready(PATIENCE_MS) }
  }
  const members = await Promise.all(Array.from({ length: size }, start))
  const admin: ReplicaSet['admin'] = (method, path, body) =>
    request(`${members[0]?.urls.admin}/admin/v1${path}`, {
      method,
      headers: {
        authorization: `Bearer ${shared.MINTMARK_ROOT_TOKEN}`,
        ...(body && { 'content-type': 'application/json' }),
      },
      ...(body && { body: JSON.stringify(body) }),
    })
  return {
    database,
    environment: shared,
    members,
    admin,
    makeKey: async () => {
      await admin('POST', '/tenants', { id: 'acme' })
      return (await admin('POST', '/tenants/acme/keys', {})).body.secret
    },
    stop: async () => {
      await Promise.all(members.map(member => member.process.kill()))
      await Promise.all(members.map(member => member.network.close()))
      await database.drop()
    },
  }
}

/**
 * Sets the policy in seconds instead of hours and days: written into the record, because the API's minimum is an hour.
 * The next standby is scheduled by it.
 */
export async function scaleTime(
  { database, environment }: ReplicaSet,
  times: { interval: number; lead: number },
): Promise<void> {
  await database.asOwner(
    `WITH scaled AS (UPDATE installation SET rotation_interval_seconds = $1, publish_lead_seconds = $2),
      next AS (UPDATE change_counter SET number = number + 1 RETURNING number)
    INSERT INTO change_feed (number, changes)
      SELECT number, '[{"kind": "installation", "id": ""}]'::jsonb FROM next`,
    [times.interval, times.lead],
  )
  await rewriteSigningKeys(
    database,
    environment,
    "UPDATE signing_keys SET activates_at = NULL WHERE state = 'standby'",
  )
}

export interface StoredKey {
  kid: string
  alg: string
  state: string
  hasPrivate: boolean
  activatesAt: Date | null
  publishedAt: Date
  forgetsAt: Date | null
}

export function storedKeys(database: TestDatabase): Promise<StoredKey[]> {
  return database.asOwner<StoredKey & { [name: string]: unknown }>(
    `SELECT kid, alg, state, private_encrypted IS NOT NULL AS "hasPrivate", activates_at AS "activatesAt",
      published_at AS "publishedAt", forgets_at AS "forgetsAt" FROM signing_keys ORDER BY kid`,
  )
}
