import { KeyDigests } from '../api-keys/key-digest.ts'
import type { Config } from '../config/config.ts'
import { buildAdministration } from './administration.ts'
import { buildAuthentication } from './authentication.ts'
import { followDirectory } from './directory.ts'
import { buildSigning } from './signing.ts'
import type { Storage, System } from './storage.ts'

export type Parts = ReturnType<typeof buildParts>

/** Every object that more than one listener or task needs, by its name. */
export function buildParts(config: Config, system: System, storage: Storage, issuer: string) {
  const digests = new KeyDigests(config.peppers)
  const directory = followDirectory(config, system, storage)
  const authentication = buildAuthentication(config, system, storage, directory, digests)
  const signing = buildSigning(config, system, storage, issuer)
  const administration = buildAdministration(config, system, storage, digests)
  return { config, ...system, ...storage, ...directory, ...authentication, ...signing, ...administration }
}
