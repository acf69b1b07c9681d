import type { Database } from '../database/database.ts'
import type { Identities } from '../directory/identities.ts'
import { Unavailable } from '../errors.ts'
import { type Assertion, assertionFault, parseAssertion } from '../identity-providers/assertion.ts'
import type { Expected } from '../identity-providers/federation.ts'
import { type IdentityFault, identify, workloadOf } from '../identity-providers/identify.ts'
import { ASSERTION_ALGS } from '../identity-providers/provider-kind.ts'
import { hasSignatureOf, keyFor } from '../identity-providers/verification-key.ts'
import type { FailureLimit } from '../system/failure-limit.ts'
import { type AuthFailure, type Caller, evaluate } from './authenticator.ts'
import type { DeferredWrites } from './deferred-writes.ts'
import { TenantConflicts } from './tenant-conflicts.ts'
import { useInDatabase } from './used-assertion-repository.ts'
import { digestOf, UsedAssertions } from './used-assertions.ts'

/** How an assertion was presented. */
export type AssertionUse = 'subject_token' | 'id_token' | 'assertion' | 'private_key_jwt' | 'spiffe_jwt'

/** An assertion as it was presented. */
export interface PresentedAssertion {
  assertion: string
  use: AssertionUse
  /** A key or a tenant; undefined: exactly one key must match. */
  clientId: string | undefined
  /** The client names what it expects to be. Nothing else is accepted. */
  expected?: Omit<Expected, 'client'>
}

type ClientFault =
  | 'client_unknown'
  | 'client_assertion_claims'
  | 'client_assertion_lives_too_long'
  | 'client_assertion_used'
  | 'not_a_spiffe_provider'

/** All look alike to the caller. */
export interface WorkloadRefusal {
  ok: false
  reason: IdentityFault | ClientFault | AuthFailure['reason']
  providerId?: string
  subject?: string
  keyId?: string
  credentialIds?: readonly string[]
  /** The assertion is genuine and a credential matches it: only the state of the key, or a use before, is in the way. */
  isKnown?: boolean
  /** Of `too_many_failures`. */
  retryAfterSeconds?: number
}

/** `provider` and `subject` are for the log: whose assertion it was. */
export type WorkloadAuthentication =
  | { ok: true; caller: Caller; providerId: string | undefined; subject: string }
  | WorkloadRefusal

/** Reasons that say that something does not exist. */
const NOT_FOUND: ReadonlySet<WorkloadRefusal['reason']> = new Set([
  'assertion_unknown_issuer',
  'assertion_audience',
  'no_credential_matches',
  'not_as_expected',
  'client_unknown',
] as const)
const LONGEST_CLIENT_ASSERTION_SECONDS = 300
/** For clients whose clock is ahead. */
const SKEW_SECONDS = 60

/** Finds the key that an assertion is for, and what may be issued to it now. Needs no I/O for what is known. */
export class Workloads {
  readonly #database: Database
  readonly #identities: Identities
  readonly #deferred: DeferredWrites
  readonly #failures: FailureLimit
  readonly #issuer: string
  readonly #now: () => number
  readonly #used = new UsedAssertions()
  /** Those that the database remembers, with room of their own: an assertion that has none here is no fault. */
  readonly #usedInDatabase = new UsedAssertions()
  /** Assertions that the rules of two tenants matched. */
  readonly conflicts = new TenantConflicts()

  /** `now` is the database time in epoch milliseconds. */
  constructor(options: {
    database: Database
    identities: Identities
    deferred: DeferredWrites
    failures: FailureLimit
    issuer: string
    now: () => number
  }) {
    this.#database = options.database
    this.#identities = options.identities
    this.#deferred = options.deferred
    this.#failures = options.failures
    this.#issuer = options.issuer
    this.#now = options.now
  }

  /**
   * `source` is the address of the caller. A refused assertion counts as a failure of it; one that a credential matches
   * never does, and is never refused because of others. Assertions are verified first, so the limit bounds the audit
   * rows of refusals, and not the CPU time of verification.
   * @throws {Unavailable} for a fault that is not the caller's.
   */
  async authenticate(
    presented: PresentedAssertion,
    source: string | undefined,
  ): Promise<WorkloadAuthentication> {
    const answer =
      presented.use === 'private_key_jwt'
        ? await this.#authenticateClient(presented)
        : await this.#authenticateFederated(presented)
    if (answer.ok) this.#deferred.used(answer.caller.secretId, answer.caller.at)
    if (answer.ok || answer.isKnown) return answer
    const allowance = await this.#failures.take(source)
    if (allowance.granted) return answer
    const { retryAfterSeconds } = allowance
    return { ok: false, reason: 'too_many_failures', retryAfterSeconds }
  }

  async #authenticateFederated({
    assertion: text,
    use,
    clientId: client,
    expected = {},
  }: PresentedAssertion): Promise<WorkloadAuthentication> {
    const options = { now: this.#now(), expected: { ...expected, client }, asIdToken: use === 'id_token' }
    const find = () =>
      identify(text, { federation: this.#identities.federation, keys: this.#identities }, options)
    let identified = await find()
    // Only while there are no keys at all an exchange waits for a fetch.
    if (!identified.ok && identified.reason === 'provider_unavailable' && identified.providerId) {
      await this.#identities.fetched.settled(identified.providerId)
      identified = await find()
    }
    if (!identified.ok) {
      if (identified.reason === 'provider_unavailable')
        throw new Unavailable('The keys of the identity provider are not available. Retry.')
      if (identified.reason === 'credentials_of_two_tenants_match')
        this.conflicts.note(identified.credentialIds ?? [], options.now)
      return this.#refused(identified)
    }
    const { assertion, provider, credential } = identified
    const about = { providerId: provider.id, subject: assertion.sub, credentialIds: [credential.id] }
    if (use === 'spiffe_jwt' && provider.kind !== 'spiffe')
      return { ok: false, reason: 'not_a_spiffe_provider', ...about }
    return this.#admit(assertion, credential, about)
  }

  /** RFC 7523 §2.2 and §3: the client is the issuer and the subject, and we are the only audience. */
  async #authenticateClient({
    assertion: text,
    clientId,
  }: PresentedAssertion): Promise<WorkloadAuthentication> {
    const parsed = parseAssertion(text)
    if (!parsed.ok) return parsed
    const { assertion } = parsed
    const { iss, sub: keyId, aud, jti, exp } = assertion
    const now = this.#now()
    if (iss !== keyId || jti === undefined || aud !== this.#issuer || (clientId ?? keyId) !== keyId)
      return { ok: false, reason: 'client_assertion_claims' }
    const fault = assertionFault(assertion, 'public_key', now)
    if (fault) return { ok: false, reason: fault }
    if (exp - now / 1000 > LONGEST_CLIENT_ASSERTION_SECONDS + SKEW_SECONDS)
      return { ok: false, reason: 'client_assertion_lives_too_long' }
    const known = this.#identities.clientKeys(keyId)
    const keys = known.flatMap(({ keys: own, ...credential }) => own.map(key => ({ ...key, ...credential })))
    if (keys.length === 0) return this.#refused({ ok: false, reason: 'client_unknown' })
    const choice = keyFor(assertion, keys, ASSERTION_ALGS)
    if (!choice.ok) return { ...choice, keyId }
    if (!(await hasSignatureOf(assertion, choice.key)))
      return { ok: false, reason: 'assertion_signature', keyId }
    const { credentialId: id = '', singleUse } = keys.find(key => key === choice.key) ?? {}
    const answer = await this.#admit(assertion, { id, keyId }, { keyId, credentialIds: [id] })
    // Only what would be accepted is remembered: no one else can fill the memory, and a retry after a 503 is not a replay.
    if (!answer.ok) return answer
    const isFirst =
      singleUse === 'database'
        ? await this.#useInDatabase(answer.caller, jti, exp, now)
        : this.#used.use(answer.caller, jti, exp * 1000, now)
    if (!isFirst)
      return { ok: false, reason: 'client_assertion_used', keyId, credentialIds: [id], isKnown: true }
    return answer
  }

  /** A replay at the same replica costs no write: the holder of an assertion can repeat it without limit. @throws {Unavailable} */
  async #useInDatabase(caller: Caller, jti: string, exp: number, now: number): Promise<boolean> {
    if (this.#usedInDatabase.has(caller, jti, now)) return false
    // Longer than it is accepted, whatever this process takes for the time.
    const until = (exp + SKEW_SECONDS) * 1000
    const isFirst = await this.#database.run(db => useInDatabase(db, digestOf(caller.keyId, jti), until))
    // Where there is no room, the database answers the next time as well.
    this.#usedInDatabase.note(caller, jti, exp * 1000, now)
    return isFirst
  }

  /** @throws {Unavailable} when this process cannot verify all rows: what was not found may be among them. */
  #refused(refusal: WorkloadRefusal): WorkloadRefusal {
    if (this.#identities.incomplete && NOT_FOUND.has(refusal.reason))
      throw new Unavailable('Some credentials cannot be verified by this process. Retry.')
    return refusal
  }

  async #admit(
    assertion: Assertion,
    { id, keyId }: { id: string; keyId: string },
    about: Omit<WorkloadRefusal, 'ok' | 'reason'>,
  ): Promise<WorkloadAuthentication> {
    const found = this.#identities.snapshot(keyId, id) ?? (await this.#identities.lookUp(keyId, id))
    if (!found) return { ok: false, reason: 'client_unknown', ...about, keyId }
    const now = this.#now()
    const evaluated = evaluate(found, undefined, now)
    if (!evaluated.ok) {
      this.#deferred.count(keyId, evaluated.reason, now)
      return { ok: false, reason: evaluated.reason, ...about, keyId, isKnown: true }
    }
    const { caller } = evaluated
    const expiresAt = assertion.exp * 1000
    const endsAt = caller.endsAt === null ? expiresAt : Math.min(caller.endsAt, expiresAt)
    const { providerId } = about
    const workload = providerId === undefined ? undefined : workloadOf(assertion)
    return {
      ok: true,
      caller: { ...caller, endsAt, ...(workload !== undefined && { workload }) },
      providerId,
      subject: assertion.sub,
    }
  }
}
