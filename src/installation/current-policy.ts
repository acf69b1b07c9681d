import type { Apply, ChangeSubscriber } from '../database/change-subscriber.ts'
import type { Database, Handle } from '../database/database.ts'
import { Unavailable } from '../errors.ts'
import { readInstallation } from './installation.ts'
import type { Policy } from './policy.ts'

/** The installation's policy, as this process last read it. */
export class CurrentPolicy implements ChangeSubscriber {
  readonly kinds = ['installation'] as const
  readonly #database: Database
  #policy: Policy | undefined

  constructor(options: { database: Database }) {
    this.#database = options.database
  }

  /** @throws {Unavailable} until it has been read. */
  get policy(): Policy {
    if (!this.#policy) throw new Unavailable('The service is not ready. Retry.')
    return this.#policy
  }

  /** Set when the installation record is opened, before the first load. */
  set(policy: Policy): void {
    this.#policy = policy
  }

  /** `ChangeSubscriber.load`. */
  load(): Promise<Apply> {
    return this.#database.run(db => this.#read(db))
  }

  /** `ChangeSubscriber.read`. */
  read(trx: Handle): Promise<Apply> {
    return this.#read(trx)
  }

  /** `ChangeSubscriber.forget`: the policy before the change applies until the new one can be read. */
  forget(): void {}

  async #read(db: Handle): Promise<Apply> {
    const { policy } = await readInstallation(db)
    return () => this.set(policy)
  }
}
