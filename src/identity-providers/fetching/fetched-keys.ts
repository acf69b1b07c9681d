import type { Clock } from '../../system/clock.ts'
import type { Random } from '../../system/random.ts'
import { parseKeySet, plainKeySet, UnusableKeys, type VerificationKey } from '../verification-key.ts'
import type { FetchMeans } from './fetch-document.ts'
import { FETCH_FAULTS, FetchFault, type FetchFaultKind } from './fetch-fault.ts'
import type { FetchTokens } from './fetch-tokens.ts'
import { type KeyRequestOptions, requestKeys } from './key-requests.ts'
import { type FetchedProvider, keySourceOf } from './key-source.ts'
import type { OwnCluster } from './own-cluster.ts'

/** The last good answer of an issuer. */
export interface KeptKeySet {
  providerId: string
  /** It is not used for a provider whose keys come from elsewhere. */
  source: string
  jwks: unknown
  /** Epoch milliseconds. */
  fetchedAt: number
}

/** For operators. */
export interface FetchHealth {
  providerId: string
  /** Since they were last fetched; if they never were, since this process knows the provider. */
  ageSeconds: number
  /** Failures since the last success. */
  failures: number
  /** Undefined: the last fetch did not fail. */
  fault: string | undefined
  /** Of the last failure of this process; `at`, as all instants here, in epoch milliseconds, database time. */
  lastFault: (Fault & { at: number }) | undefined
  lastSuccessAt: number | undefined
  /** Undefined: it is due, or running. */
  nextAt: number | undefined
}

interface Options extends FetchMeans {
  random: Random
  tokens: FetchTokens
  cluster: OwnCluster
  /** The database time in epoch milliseconds: it dates what is kept. */
  now: () => number
}

interface Fault {
  kind: FetchFaultKind
  message: string
}

interface State {
  provider: FetchedProvider
  /** Monotonic milliseconds. */
  since: number
  source: string
  /** `at`: monotonic milliseconds. */
  kept: { jwks: unknown; keys: readonly VerificationKey[]; at: number } | undefined
  failures: number
  /** `at`: monotonic milliseconds. */
  lastFault: (Fault & { at: number }) | undefined
  /** Monotonic milliseconds. */
  nextAt: number
  begunAt: number
  running: Promise<void> | undefined
}

const REFRESH_MS = 300_000
const FIRST_PAUSE_MS = 1_000
/** An unknown key id causes at most one fetch in this time. */
const UNKNOWN_KEY_MS = 60_000
const MOST_AT_ONCE = 8
const NO_FAULTS = Object.fromEntries(FETCH_FAULTS.map(kind => [kind, 0])) as Record<FetchFaultKind, number>

/** Fetches the keys of issuers in the background, and keeps the last good ones. */
export class FetchedKeys {
  readonly #requests: KeyRequestOptions
  readonly #clock: Clock
  readonly #random: Random
  readonly #now: () => number
  readonly #states = new Map<string, State>()
  /** Number of fetches by result. */
  readonly results = { ok: 0, ...NO_FAULTS }
  /** Called when the keys of a provider changed. */
  onChange = () => {}

  constructor(options: Options) {
    const { random, tokens, cluster, now, ...means } = options
    this.#requests = { means, tokens, cluster }
    this.#clock = means.clock
    this.#random = random
    this.#now = now
  }

  /** The providers are now these. */
  follow(providers: Iterable<FetchedProvider>): void {
    const ids = new Set<string>()
    for (const provider of providers) {
      const source = keySourceOf(provider)
      if (source === undefined) continue
      ids.add(provider.id)
      const state = this.#states.get(provider.id)
      if (state?.source === source) {
        // With another token it may succeed.
        if (state.provider.fetchToken !== provider.fetchToken) state.nextAt = Number.NEGATIVE_INFINITY
        state.provider = provider
      } else this.#states.set(provider.id, newState(provider, source, this.#clock.monotonicMs()))
    }
    for (const id of this.#states.keys()) if (!ids.has(id)) this.#states.delete(id)
  }

  /** Undefined: none, or they are too old. */
  keysOf(providerId: string): readonly VerificationKey[] | undefined {
    const state = this.#states.get(providerId)
    if (!state?.kept) return undefined
    return this.#ageMs(state.kept) <= state.provider.jwksMaxStaleSeconds * 1000 ? state.kept.keys : undefined
  }

  /** Settles when the fetch for a provider without any keys is over, if one is due or running. */
  async settled(providerId: string): Promise<void> {
    const state = this.#states.get(providerId)
    if (!state || state.kept) return
    if (!state.running && state.nextAt <= this.#clock.monotonicMs()) this.#begin(state)
    await state.running
  }

  /** The issuer may have a new key: it is fetched, at most once a minute. */
  noteUnknownKey(providerId: string): void {
    const state = this.#states.get(providerId)
    if (state) state.nextAt = Math.min(state.nextAt, state.begunAt + UNKNOWN_KEY_MS)
  }

  /** Begins the fetches that are due. Called each second. */
  tick(): void {
    const now = this.#clock.monotonicMs()
    let free = MOST_AT_ONCE - this.busy
    for (const state of [...this.#states.values()].sort((a, b) => a.nextAt - b.nextAt)) {
      if (free <= 0) return
      if (state.running || state.nextAt > now) continue
      this.#begin(state)
      free--
    }
  }

  /** Number of fetches that are running. */
  get busy(): number {
    return [...this.#states.values()].filter(({ running }) => running).length
  }

  get health(): FetchHealth[] {
    return [...this.#states.values()].map(state => this.#healthOf(state))
  }

  /** Undefined: nothing is fetched for it. */
  healthOf(providerId: string): FetchHealth | undefined {
    const state = this.#states.get(providerId)
    return state && this.#healthOf(state)
  }

  #healthOf({ provider, kept, since, failures, lastFault, nextAt }: State): FetchHealth {
    const instant = (at: number) => Math.round(this.#now() - this.#ageMs({ at }))
    return {
      providerId: provider.id,
      ageSeconds: this.#ageMs(kept ?? { at: since }) / 1000,
      failures,
      fault: failures > 0 ? lastFault?.message : undefined,
      lastFault: lastFault && { ...lastFault, at: instant(lastFault.at) },
      lastSuccessAt: kept && instant(kept.at),
      nextAt: nextAt > this.#clock.monotonicMs() ? instant(nextAt) : undefined,
    }
  }

  /** All that is kept, for `adopt`. */
  get kept(): KeptKeySet[] {
    return [...this.#states.values()].flatMap(({ provider, source, kept }) =>
      kept
        ? [{ providerId: provider.id, source, jwks: kept.jwks, fetchedAt: this.#now() - this.#ageMs(kept) }]
        : [],
    )
  }

  /** Another process of this installation fetched these. Follow their providers first. */
  async adopt(sets: readonly KeptKeySet[]): Promise<void> {
    for (const { providerId, source, jwks, fetchedAt } of sets) {
      const state = this.#states.get(providerId)
      if (!state || state.source !== source || state.kept) continue
      const keys = await parseKeySet(jwks).catch(ignoreUnusable)
      const ageMs = Math.max(0, this.#now() - fetchedAt)
      if (keys) state.kept = { jwks, keys, at: this.#clock.monotonicMs() - ageMs }
    }
    this.onChange()
  }

  #ageMs({ at }: { at: number }): number {
    return this.#clock.monotonicMs() - at
  }

  #begin(state: State): void {
    state.begunAt = this.#clock.monotonicMs()
    state.running = this.#fetch(state).finally(() => {
      state.running = undefined
    })
  }

  async #fetch(state: State): Promise<void> {
    const { provider } = state
    try {
      const fetched = await requestKeys(provider, this.#requests)
      const keys = await parseKeySet(fetched)
      const jwks = plainKeySet(fetched)
      if (this.#states.get(provider.id) !== state) return
      state.kept = { jwks, keys, at: this.#clock.monotonicMs() }
      state.failures = 0
      this.results.ok++
      state.nextAt = this.#clock.monotonicMs() + REFRESH_MS - this.#random.integer(REFRESH_MS / 10)
      this.onChange()
    } catch (error) {
      state.failures++
      const fault = faultOf(error)
      this.results[fault.kind]++
      state.lastFault = { ...fault, at: this.#clock.monotonicMs() }
      const pause = Math.min(FIRST_PAUSE_MS * 2 ** Math.min(state.failures - 1, 20), REFRESH_MS)
      state.nextAt = this.#clock.monotonicMs() + pause + this.#random.integer(pause / 10)
    }
  }
}

const newState = (provider: FetchedProvider, source: string, since: number): State => ({
  provider,
  since,
  source,
  kept: undefined,
  failures: 0,
  lastFault: undefined,
  nextAt: Number.NEGATIVE_INFINITY,
  begunAt: Number.NEGATIVE_INFINITY,
  running: undefined,
})

function faultOf(error: unknown): Fault {
  if (error instanceof FetchFault) return { kind: error.kind, message: error.message }
  const why = error instanceof UnusableKeys ? `: the set ${error.message}` : ''
  return { kind: 'keys', message: `The keys of the issuer cannot be used${why}.` }
}

function ignoreUnusable(error: unknown): undefined {
  if (!(error instanceof UnusableKeys)) throw error
}
