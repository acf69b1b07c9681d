import type { Clock } from '../../system/clock.ts'
import type { Random } from '../../system/random.ts'
import { type Target, targetName } from './authentication-files.ts'
import { fetchDenied, type ListAccess } from './denied-list.ts'
import type { KubernetesApi } from './kubernetes-api.ts'
import type { Lease } from './lease.ts'
import { fetchJwks, type PublishedJwks } from './published-jwks.ts'
import {
  MOST_ENTRIES,
  type PolicyTarget,
  policyName,
  withEntries,
  writtenEntries,
} from './revocation-policy.ts'
import { FAULTS, type FaultReason, SyncFault } from './sync-fault.ts'
import { applyDenied, applyJwks, type WriteOptions } from './synced-object.ts'

const FIRST_RETRY_SECONDS = 1

export interface RoundsOptions extends WriteOptions {
  api: KubernetesApi
  clock: Clock
  random: Random
  targets: readonly Target[]
  jwksUrl: URL
  /** Where the list of revoked tokens is kept; undefined: nowhere. */
  denied?: { policies: readonly PolicyTarget[]; access: ListAccess } | undefined
  intervalSeconds: number
  /** Undefined for a single round. */
  lease: Lease | undefined
  signal: AbortSignal
  /** Called for each object that was compared. */
  onResult: (
    object: string,
    result: 'written' | 'unchanged',
    about: { kids: readonly string[] } | { entries: number },
  ) => void
  onFault: (fault: SyncFault) => void
}

/** Rounds of fetching the JWKS and the list of revoked tokens, and applying them. */
export class Rounds {
  writes = 0
  readonly failures = Object.fromEntries(FAULTS.map(reason => [reason, 0])) as Record<FaultReason, number>
  /** Whether this process has the lease. */
  leading = false
  /** The faults of the last round. Undefined before the first one has ended. */
  faults: readonly SyncFault[] | undefined
  readonly #options: RoundsOptions
  /** Number of entries in the policies; undefined: not known. */
  entries: number | undefined
  #jwks: PublishedJwks | undefined
  #goodSince: number

  constructor(options: RoundsOptions) {
    this.#options = options
    this.#goodSince = options.clock.monotonicMs()
  }

  /** Seconds since the objects were last seen to have the JWKS that Mintmark publishes; until then since the start. */
  get ageSeconds(): number {
    return (this.#options.clock.monotonicMs() - this.#goodSince) / 1_000
  }

  /** One round. Its faults were reported. */
  async run(): Promise<readonly SyncFault[]> {
    const faults: SyncFault[] = []
    const began = this.#options.clock.monotonicMs()
    await this.#attempt(faults, async () => {
      this.leading = await this.#holdLease()
      if (!this.leading) return
      await this.#attempt(faults, () => this.#applyDenied(faults))
      await this.#attempt(faults, () => this.#fetch())
      const { targets, api, onResult } = this.#options
      const jwks = this.#jwks
      if (jwks === undefined) return
      // Also where the fetch failed: the last good set is put back into an object that lost it.
      for (const target of targets)
        await this.#attempt(faults, async () => {
          const result = await applyJwks(api, target, jwks, this.#options)
          if (result === 'written') this.writes++
          onResult(targetName(target), result, jwks)
        })
    })
    if (faults.length === 0 && this.leading) this.#goodSince = began
    this.faults = faults
    return faults
  }

  /** Until the signal: a round each interval, sooner after a fault, and then less and less often. */
  async repeat(): Promise<void> {
    const { clock, random, signal } = this.#options
    let failed = 0
    while (!signal.aborted) {
      const faults = await this.run()
      failed = faults.length > 0 ? failed + 1 : 0
      const interval = Math.min(this.#options.intervalSeconds, this.#longestInterval)
      const backOff = failed > 0 ? FIRST_RETRY_SECONDS * 2 ** Math.min(failed - 1, 20) : interval
      const asked = Math.max(0, ...faults.map(fault => fault.retryAfterSeconds ?? 0))
      const seconds = Math.min(interval, Math.max(backOff, asked))
      await clock.sleep(seconds * (900 + random.integer(100)), signal)
    }
  }

  get #longestInterval(): number {
    return this.#jwks?.longestIntervalSeconds ?? Number.POSITIVE_INFINITY
  }

  async #holdLease(): Promise<boolean> {
    return this.#options.lease ? this.#options.lease.hold() : true
  }

  /** While the list cannot be fetched, the objects keep the last one. */
  async #applyDenied(faults: SyncFault[]): Promise<void> {
    const { denied, api, signal, onResult } = this.#options
    if (!denied) return
    const list = await fetchDenied(denied.access, signal)
    const entries = writtenEntries(list)
    for (const target of denied.policies)
      await this.#attempt(faults, async () => {
        const result = await applyDenied(api, withEntries(target, list, entries), this.#options)
        if (result === 'written') this.writes++
        this.entries = entries.length
        onResult(policyName(target), result, { entries: entries.length })
      })
    if (entries.length < list.entries.length)
      throw new SyncFault(
        'list_too_long',
        `The list of revoked tokens has ${list.entries.length} entries, and an AuthorizationPolicy takes ${MOST_ENTRIES}. Each tenant has ` +
          'a fair share: of its entries those of the tenant and of keys were written first, then the newest. The tokens of the others are accepted until they expire.',
      )
  }

  async #fetch(): Promise<void> {
    const { jwksUrl, signal, intervalSeconds, allowOlder } = this.#options
    const jwks = await fetchJwks(jwksUrl, signal)
    const [before, now] = [this.#jwks?.modifiedAt, jwks.modifiedAt]
    if (before !== undefined && now !== undefined && now < before && !allowOlder)
      throw new SyncFault(
        'jwks_older',
        `${jwksUrl} answers with an older JWKS than before. The newer one is kept.`,
      )
    this.#jwks = jwks
    if (intervalSeconds > jwks.longestIntervalSeconds)
      throw new SyncFault(
        'unsafe_interval',
        `The interval of ${intervalSeconds} s is too long for the publish lead of Mintmark: a key could sign before the gateways know it. ` +
          `Set --interval to at most ${jwks.longestIntervalSeconds}.`,
      )
  }

  /** Runs a step; its fault is counted and reported, and ends only this step. */
  async #attempt(faults: SyncFault[], step: () => Promise<void>): Promise<void> {
    try {
      await step()
    } catch (error) {
      if (!(error instanceof SyncFault)) throw error
      if (this.#options.signal.aborted) return
      faults.push(error)
      this.failures[error.reason]++
      this.#options.onFault(error)
    }
  }
}
