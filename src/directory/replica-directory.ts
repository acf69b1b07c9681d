import { clientName, type Imports } from '../api-keys/imported/imported-client.ts'
import type { Tombstones } from '../tombstones/tombstones.ts'
import type { Directory, SecretSnapshot } from './directory.ts'
import type { DirectoryCopy } from './directory-copy.ts'
import type { SecretLookup } from './secret-lookup.ts'
import { withTombstones } from './with-tombstones.ts'

/**
 * This replica's directory. A known key is answered from memory, without I/O; one that is unknown or too stale for its
 * tenant is looked up in Postgres. docs/decisions/0007-follower-directory.md
 */
export class ReplicaDirectory implements Directory {
  readonly #copy: DirectoryCopy
  readonly #fallback: SecretLookup

  readonly #tombstones: Pick<Tombstones, 'has' | 'endOf'>

  constructor(options: {
    copy: DirectoryCopy
    fallback: SecretLookup
    tombstones: Pick<Tombstones, 'has' | 'endOf'>
  }) {
    this.#copy = options.copy
    this.#fallback = options.fallback
    this.#tombstones = options.tombstones
  }

  find(names: readonly string[]): SecretSnapshot | undefined {
    return withTombstones(this.#copy.find(names), this.#tombstones)
  }

  knows(names: readonly string[]): boolean {
    return this.#copy.knows(names)
  }

  knowsKey(keyId: string): boolean {
    return this.#copy.knowsKey(keyId)
  }

  get imports(): Imports | undefined {
    return this.#copy.imports
  }

  findClient(clientId: string): SecretSnapshot | undefined {
    return this.find([clientName(clientId)])
  }

  knowsClient(clientId: string): boolean {
    return this.#copy.knows([clientName(clientId)])
  }

  lookUpClient(clientId: string): Promise<SecretSnapshot | undefined> {
    return this.lookUp([clientName(clientId)])
  }

  nameOfHash(sha256: string): string | undefined {
    return this.#copy.nameOfHash(sha256)
  }

  get lookups(): number {
    return this.#copy.lookups
  }

  get lacksImported(): boolean {
    return this.#copy.lacksImported
  }

  async lookUp(names: readonly string[]): Promise<SecretSnapshot | undefined> {
    return withTombstones(await this.#fallback.find(names), this.#tombstones)
  }
}
