import { LOOKUP_SCHEME } from '../api-keys/imported/lookup-secret.ts'
import type { KnownKey } from './known-key.ts'

/** The name under which an imported secret is found by its SHA-256, in hex (`KeyDigests.lookupName`). */
export type LookupName = (sha256: string) => string

/** The imported secrets in memory that need no client_id. */
export class LookupNames {
  readonly #nameOf: LookupName
  /** Their digests in the directory, by name. */
  readonly #digests = new Map<string, string>()
  /** Keys that may have changed, by id. Their names stay, so that their secrets are looked up and not taken for unknown. */
  readonly #kept = new Map<string, KnownKey>()
  /** Ids of keys of which a secret was left out that other replicas may accept. */
  readonly #unverifiable = new Set<string>()

  constructor(nameOf: LookupName) {
    this.#nameOf = nameOf
  }

  get size(): number {
    return this.#digests.size
  }

  /** A genuine secret may be missing here. */
  get isIncomplete(): boolean {
    return this.#unverifiable.size > 0
  }

  digestOf(sha256: string): string | undefined {
    return this.#digests.get(this.#nameOf(sha256))
  }

  put({ id, secrets, unverifiable }: KnownKey): void {
    if (unverifiable) this.#unverifiable.add(id)
    for (const { imported, digest } of secrets)
      if (imported?.scheme === LOOKUP_SCHEME) this.#digests.set(this.#nameOf(imported.hash), digest)
  }

  /** Of a key that was removed because it may have changed, until it is put or removed. */
  keep(key: KnownKey): void {
    if (!hasLookup(key)) return
    this.put(key)
    this.#kept.set(key.id, key)
  }

  /** `key`: as it was put; undefined: it was not. */
  remove(id: string, key: KnownKey | undefined = this.#kept.get(id)): void {
    this.#kept.delete(id)
    this.#unverifiable.delete(id)
    for (const { imported } of key?.secrets ?? [])
      if (imported?.scheme === LOOKUP_SCHEME) this.#digests.delete(this.#nameOf(imported.hash))
  }
}

/** Whether a secret of the key is found nowhere else. */
export const hasLookup = ({ secrets }: KnownKey): boolean =>
  secrets.some(({ imported }) => imported?.scheme === LOOKUP_SCHEME)
