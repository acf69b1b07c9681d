import { SecretProofs } from '../api-keys/imported/secret-proof.ts'
import type { KeyDigests } from '../api-keys/key-digest.ts'
import { Authenticator } from '../authentication/authenticator.ts'
import { Comparisons } from '../authentication/comparisons.ts'
import { DeferredWrites } from '../authentication/deferred-writes.ts'
import { ImportedSecrets, type NoteProof } from '../authentication/imported-secrets.ts'
import { LookupSecrets } from '../authentication/lookup-secrets.ts'
import { Workloads } from '../authentication/workloads.ts'
import type { Config } from '../config/config.ts'
import { FailureLimit } from '../system/failure-limit.ts'
import type { DirectoryParts } from './directory.ts'
import type { Storage, System } from './storage.ts'

export interface AuthenticationParts {
  /** Checks presented credentials. */
  authenticator: Authenticator
  /** Checks presented assertions. */
  workloads: Workloads
  /** Writes that exchanges defer. */
  deferred: DeferredWrites
  /** Imported secrets that are presented without a client_id. */
  lookups: LookupSecrets
  /** Failed attempts on the public listener and at the check, by source address. */
  failures: FailureLimit
}

export function buildAuthentication(
  config: Config,
  { clock, random }: System,
  { database, directoryDatabase, time }: Storage,
  { directory, copy, identities }: DirectoryParts,
  digests: KeyDigests,
  issuer: string,
): AuthenticationParts {
  const redigested = (from: string, to: string) => copy.redigest(from, to)
  const deferred = new DeferredWrites({ database, clock, pepper: digests.storing, redigested })
  const failures = new FailureLimit({ perMinute: config.failuresPerMinute })
  const noteProof: NoteProof = ({ secretId, secretDigest }, hash, proof) => {
    copy.prove(secretDigest, hash, proof)
    deferred.proven({ secretId, hash, digest: proof.digest })
  }
  const imported = new ImportedSecrets({
    directory,
    failures,
    comparisons: new Comparisons({ clock }),
    proofs: new SecretProofs(config.peppers),
    noteProof,
    clock,
    random,
  })
  const lookups = new LookupSecrets({ directory, failures })
  const now = () => time.now()
  const authenticator = new Authenticator({ digests, directory, failures, imported, lookups, deferred, now })
  const workloads = new Workloads({
    database: directoryDatabase,
    identities,
    deferred,
    failures,
    issuer,
    now,
  })
  return { authenticator, workloads, deferred, failures, lookups }
}
