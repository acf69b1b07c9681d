import { sealImportedSecrets, surveyImported } from '../api-keys/imported/imported-sealing.ts'
import type { Actor } from '../audit/audit-event.ts'
import { mutate } from '../audit/audit-log.ts'
import type { Database } from '../database/database.ts'
import { CannotStart } from '../errors.ts'
import { secretFaults } from '../installation/own-secrets.ts'
import { RowSeals } from '../installation/row-seals.ts'
import { KeyEncryption } from '../signing-keys/key-encryption.ts'
import { sealSigningKeys, surveySigningKeys } from '../signing-keys/sealing.ts'
import { systemRandom } from '../system/random.ts'
import type { NamedKey } from '../system/secret.ts'

/** A row that grants trust and carries no right seal. */
export interface UnsealedRow {
  kind: 'signing_key' | 'imported_secret'
  /** The kid, which is the thumbprint of the public key; or the id of the secret. */
  id: string
  /** For a person to recognize it. */
  about: string
  /** Why it is not sealed; undefined: it can be. */
  obstacle: string | undefined
}

interface Secrets {
  encryptionKeys: readonly NamedKey[]
  peppers: readonly NamedKey[]
}

/**
 * Seals the rows that an older version wrote: once, after the upgrade, by a process that holds the keys. Never a row that
 * carries a wrong seal.
 */
export class RowSealing {
  readonly #database: Database
  readonly #secrets: Secrets
  readonly #means: { seals: RowSeals; encryption: KeyEncryption; acceptUnproven: boolean }

  /** `acceptUnproven`: also rows of which nothing but their presence shows that Mintmark wrote them. */
  constructor(options: { database: Database; secrets: Secrets; acceptUnproven: boolean }) {
    const { database, secrets, acceptUnproven } = options
    const encryption = new KeyEncryption({ keys: secrets.encryptionKeys, random: systemRandom })
    this.#database = database
    this.#secrets = secrets
    this.#means = { seals: new RowSeals(secrets), encryption, acceptUnproven }
  }

  /** The rows that carry no right seal. Changes nothing. */
  async survey(): Promise<UnsealedRow[]> {
    const keys = await this.#database.readSnapshot(trx => surveySigningKeys(trx, this.#means))
    const found: UnsealedRow[] = keys.map(({ row, obstacle }) => ({
      kind: 'signing_key',
      id: row.kid,
      about: `${row.alg} ${row.state}${row.private_encrypted ? '' : ', no private half'}`,
      obstacle,
    }))
    for await (const page of surveyImported(this.#database, this.#means)) {
      for (const { secret, obstacle } of page) {
        const about = `${secret.scheme} of ${secret.clientId}, ${secret.keyId}`
        found.push({ kind: 'imported_secret', id: secret.id, about, obstacle })
      }
    }
    return found
  }

  /** Seals these rows, as far as they still can be, with an audit row each. Returns their number. */
  async seal(actor: Actor, rows: readonly UnsealedRow[]): Promise<number> {
    const ids = (kind: UnsealedRow['kind']) =>
      rows.filter(row => row.kind === kind && row.obstacle === undefined).map(({ id }) => id)
    const secretIds = new Set(ids('imported_secret'))
    const secrets = await sealImportedSecrets(this.#database, this.#means, actor, secretIds)
    const kids = ids('signing_key')
    const keys = await mutate(this.#database, actor, mutation => sealSigningKeys(mutation, this.#means, kids))
    return secrets + keys
  }

  /** @throws {CannotStart} when this process would seal with something that the replicas do not have. */
  async requireSecretsOfInstallation(): Promise<void> {
    const faults = await this.#database.run(db => secretFaults(db, this.#secrets))
    if (faults.length > 0) throw new CannotStart(faults.join(' '))
  }
}
