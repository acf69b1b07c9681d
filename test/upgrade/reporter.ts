import type { Replica } from '../faults/environment/replica.ts'
import { type Report, WHY } from '../faults/environment/report.ts'
import type { Build } from './build.ts'
import { Reports } from './reports.ts'

/** The migration of builds that receive usage, and that of builds that rotate the secrets of reporters. */
export const RECEIVES_USAGE = '0018_usage'
const ROTATES_REPORTERS = '0033_usage_reporter_secrets'

/** The usage reporter whose secret is rotated while replicas of both builds run. */
export class Reporter {
  readonly #report: Report
  readonly #reports: Reports
  #id = ''
  #secrets: string[] = []

  constructor(report: Report, reports: Reports) {
    this.#report = report
    this.#reports = reports
  }

  /** Reports begin. */
  async create(replicas: readonly [Replica, Replica]): Promise<void> {
    const { body } = await replicas[0].change('/usage-reporters', { name: 'drill', audiences: ['vllm'] })
    this.#id = body.id
    await this.#use(replicas, body.secret)
  }

  /** Where replicas of the new build run alone. */
  async rotate(replicas: readonly [Replica, Replica]): Promise<void> {
    if (this.#id === '') await this.create(replicas)
    const { body } = await replicas[0].change(`/usage-reporters/${this.#id}/rotate`, {
      overlap_seconds: 3600,
    })
    await this.#use(replicas, body.secret)
  }

  /** Once all replicas know it. */
  async #use(replicas: readonly Replica[], secret: string): Promise<void> {
    this.#secrets.push(secret)
    for (const replica of replicas) await Reports.statusOf(replica, secret, 200)
    this.#reports.use(secret)
  }

  /** A build that cannot rotate reporters accepts the newest secret only, as the changelog says. */
  async expectSecrets(replica: Replica, build: Build): Promise<void> {
    if (!build.hasMigration(RECEIVES_USAGE)) return
    const older = build.hasMigration(ROTATES_REPORTERS) ? 200 : 401
    for (const [name, secret = '', expected] of [
      ['older', this.#secrets[0], older],
      ['newest', this.#secrets[1], 200],
    ] as const)
      this.#report.invariant(
        `status of a report with the ${name} secret at ${build.name}`,
        await Reports.statusOf(replica, secret, expected),
        { exactly: expected, why: WHY.nothingLost },
      )
  }

  /** Each request that was reported is counted once. */
  async expectCounted(replica: Replica): Promise<void> {
    const { sent, rejected } = await this.#reports.stop()
    const from = new Date(Date.now() - 7_200_000).toISOString()
    const { body } = await replica.admin('GET', `/usage?reporter=${this.#id}&from=${from}`)
    const counted = Number(body?.data?.[0]?.requests ?? 0)
    this.#report.invariant('requests that were reported', sent, { atLeast: 500, why: WHY.carriedOut })
    this.#report.invariant('reported requests that are counted', counted, {
      exactly: sent,
      why: WHY.nothingLost,
    })
    this.#report.invariant('reports that were rejected', rejected, { exactly: 0, why: WHY.nothingLost })
  }
}
