import type { Clock } from '../../system/clock.ts'
import type { Random } from '../../system/random.ts'
import { parseKeySet, plainKeySet, UnusableKeys, type VerificationKey } from '../verification-key.ts'
import { parseAllowedAddress } from './fetch-address.ts'
import { type FetchMeans, fetchDocument } from './fetch-document.ts'
import { FetchFault } from './fetch-fault.ts'
import { type FetchedProvider, fetchKeySet, keySourceOf } from './key-source.ts'

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
  fault: string | undefined
}

interface State {
  provider: FetchedProvider
  /** Monotonic milliseconds. */
  since: number
  source: string
  /** `at`: monotonic milliseconds. */
  kept: { jwks: unknown; keys: readonly VerificationKey[]; at: number } | undefined
  failures: number
  fault: string | undefined
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

/** Fetches the keys of issuers in the background, and keeps the last good ones. */
export class FetchedKeys {
  readonly #means: FetchMeans
  readonly #clock: Clock
  readonly #random: Random
  readonly #now: () => number
  readonly #states = new Map<string, State>()
  /** Called when the keys of a provider changed. */
  onChange = () => {}

  /** `now` is the database time in epoch milliseconds: it dates what is kept. */
  constructor(options: FetchMeans & { random: Random; now: () => number }) {
    const { random, now, ...means } = options
    this.#means = means
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
      if (state?.source === source) state.provider = provider
      else this.#states.set(provider.id, newState(provider, source, this.#clock.monotonicMs()))
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
    return [...this.#states.values()].map(({ provider, kept, since, failures, fault }) => ({
      providerId: provider.id,
      ageSeconds: this.#ageMs(kept ?? { at: since }) / 1000,
      failures,
      fault,
    }))
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
      const { caPem, allowAddresses } = provider
      const allowed = allowAddresses.flatMap(text => parseAllowedAddress(text) ?? [])
      const get = (url: string) => fetchDocument({ url, caPem, allowed }, this.#means)
      const fetched = await fetchKeySet(provider, get)
      const keys = await parseKeySet(fetched)
      const jwks = plainKeySet(fetched)
      if (this.#states.get(provider.id) !== state) return
      state.kept = { jwks, keys, at: this.#clock.monotonicMs() }
      state.failures = 0
      state.fault = undefined
      state.nextAt = this.#clock.monotonicMs() + REFRESH_MS - this.#random.integer(REFRESH_MS / 10)
      this.onChange()
    } catch (error) {
      state.failures++
      state.fault = faultOf(error)
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
  fault: undefined,
  nextAt: Number.NEGATIVE_INFINITY,
  begunAt: Number.NEGATIVE_INFINITY,
  running: undefined,
})

function faultOf(error: unknown): string {
  if (error instanceof UnusableKeys) return `The keys of the issuer cannot be used: the set ${error.message}.`
  return error instanceof FetchFault ? error.message : 'The keys of the issuer cannot be used.'
}

function ignoreUnusable(error: unknown): undefined {
  if (!(error instanceof UnusableKeys)) throw error
}
