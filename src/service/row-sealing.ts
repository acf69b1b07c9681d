import { createHash } from 'node:crypto'
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

/** A row that grants trust and carries no valid seal. */
export interface UnsealedRow {
  kind: 'signing_key' | 'imported_secret'
  /** The kid, which is the thumbprint of the public key; or the id of the secret. */
  id: string
  /** For a person to recognize it. */
  about: string
  /** Of the whole row, to compare it with what is sealed. */
  digest: string
  /** Why it is not sealed; undefined: it can be. */
  obstacle: string | undefined
}

/** Identifies a list of rows, with all that they contain, for a person who compares it with an earlier one. */
export function listDigest(rows: readonly UnsealedRow[]): string {
  const hash = createHash('sha256')
  for (const { kind, id, digest } of rows) hash.update(JSON.stringify([kind, id, digest]))
  return hash.digest('hex').slice(0, 32)
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

  /** The rows that carry no valid seal. Changes nothing. */
  async survey(): Promise<UnsealedRow[]> {
    const keys = await this.#database.readSnapshot(trx => surveySigningKeys(trx, this.#means))
    const found: UnsealedRow[] = keys.map(({ row, digest, obstacle }) => ({
      kind: 'signing_key',
      id: row.kid,
      about: `${row.alg} ${row.state}${row.private_encrypted ? '' : ', no private key'}`,
      digest,
      obstacle,
    }))
    for await (const page of surveyImported(this.#database, this.#means)) {
      for (const { secret, digest, obstacle } of page) {
        const about = `${secret.scheme} of ${secret.clientId}, ${secret.keyId}`
        found.push({ kind: 'imported_secret', id: secret.id, about, digest, obstacle })
      }
    }
    return found
  }

  /** Seals these rows, as far as they are unchanged and still can be, with an audit row each. Returns their number. */
  async seal(actor: Actor, rows: readonly UnsealedRow[]): Promise<number> {
    const shown = (kind: UnsealedRow['kind']) => {
      const sealable = rows.filter(row => row.kind === kind && row.obstacle === undefined)
      return new Map(sealable.map(({ id, digest }) => [id, digest]))
    }
    const secrets = await sealImportedSecrets(this.#database, this.#means, actor, shown('imported_secret'))
    const kids = shown('signing_key')
    const keys = await mutate(this.#database, actor, mutation => sealSigningKeys(mutation, this.#means, kids))
    return secrets + keys
  }

  /** @throws {CannotStart} when this process would seal with something that the replicas do not have. */
  async requireSecretsOfInstallation(): Promise<void> {
    const faults = await this.#database.run(db => secretFaults(db, this.#secrets))
    if (faults.length > 0) throw new CannotStart(faults.join(' '))
  }
}
