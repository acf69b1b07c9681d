import { clientName, type Imports } from '../api-keys/imported/imported-client.ts'
import type { Directory, SecretSnapshot } from './directory.ts'
import type { DirectoryCopy } from './directory-copy.ts'
import type { SecretLookup } from './secret-lookup.ts'

/**
 * This replica's directory. A known key is answered from memory, without I/O; one that is unknown or too stale for its
 * tenant is looked up in Postgres. docs/decisions/0007-follower-directory.md
 */
export class ReplicaDirectory implements Directory {
  readonly #copy: DirectoryCopy
  readonly #fallback: SecretLookup

  constructor(options: { copy: DirectoryCopy; fallback: SecretLookup }) {
    this.#copy = options.copy
    this.#fallback = options.fallback
  }

  find(names: readonly string[]): SecretSnapshot | undefined {
    return this.#copy.find(names)
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
    return this.#copy.find([clientName(clientId)])
  }

  knowsClient(clientId: string): boolean {
    return this.#copy.knows([clientName(clientId)])
  }

  lookUpClient(clientId: string): Promise<SecretSnapshot | undefined> {
    return this.#fallback.find([clientName(clientId)])
  }

  lookUp(names: readonly string[]): Promise<SecretSnapshot | undefined> {
    return this.#fallback.find(names)
  }
}
