import { KeyDigests } from '../../api-keys/key-digest.ts'
import { type Config, readConfig } from '../../config/config.ts'
import { Env } from '../../config/env.ts'
import { databaseFault } from '../../database/database-fault.ts'
import { pendingMigrations } from '../../database/migrations.ts'
import { CurrentPolicy } from '../../installation/current-policy.ts'
import { secretFaults } from '../../installation/own-secrets.ts'
import { buildAdministration } from '../../service/administration.ts'
import { Reconciliation } from '../../service/reconciliation.ts'
import { buildSigning } from '../../service/signing.ts'
import { openStorage, type Storage, type System } from '../../service/storage.ts'
import { buildTrust } from '../../service/trust.ts'
import { systemClock } from '../../system/clock.ts'
import { createLogger } from '../../system/logger.ts'
import { systemRandom } from '../../system/random.ts'
import { DenyList } from '../../token-revocations/deny-list.ts'
import { GatewayConnections } from '../../token-revocations/gateway-connections.ts'
import type { Memory } from '../../tombstones/tombstone.ts'
import type { Tombstones } from '../../tombstones/tombstones.ts'
import { CliError, EXIT } from '../exit-codes.ts'
import { comparedTrails, type LostPart } from './audit-trails.ts'

/** A database as a replica of this environment sees it, compared with the snapshots. */
export interface RestoredDatabase {
  storage: Storage
  tombstones: Tombstones
  /** Of snapshots. */
  memories: readonly Memory[]
  /** What exported audit trails have and the database lost; undefined: nothing, or none was named. */
  lost: LostPart | undefined
  reconciliation: Reconciliation
}

/** Opens the database of the service's environment for `work`. `trails`: exported audit trails. @throws {CliError} */
export async function withRestoredDatabase<T>(
  environment: NodeJS.ProcessEnv,
  trails: readonly string[],
  work: (restored: RestoredDatabase) => Promise<T>,
): Promise<T> {
  const config = readConfig(new Env(environment))
  if (!config.databaseUrl) throw new CliError(EXIT.usage, 'DATABASE_URL is required: the one of the service.')
  const system: System = { clock: systemClock, random: systemRandom, logger: createLogger('silent') }
  const storage = openStorage(config, system)
  try {
    await storage.database.preparePassword()
    return await work(await compared(config, system, storage, trails))
  } catch (error) {
    const fault = databaseFault(error)
    throw fault === undefined ? error : new CliError(EXIT.unavailable, fault)
  } finally {
    await Promise.all([storage.database.close(), storage.directoryDatabase.close()])
  }
}

async function compared(
  config: Config,
  system: System,
  storage: Storage,
  trails: readonly string[],
): Promise<RestoredDatabase> {
  const { encryptionKeys, peppers } = config
  const { database } = storage
  const pending = await pendingMigrations(database)
  if (pending.length > 0)
    throw new CliError(EXIT.conflict, `the database lacks the migrations ${pending.join(', ')}.`, [
      'Run "mintmark migrate" with the role of the owner first.',
    ])
  const faults = await database.run(db => secretFaults(db, { encryptionKeys, peppers }))
  if (faults.length > 0) throw new CliError(EXIT.conflict, faults.join(' '))
  const issuer = config.issuer ?? `http://localhost:${config.publicAddress.port}`
  const trust = buildTrust(config, system, storage, issuer)
  const lost = trails.length > 0 ? await database.run(db => comparedTrails(db, trails)) : undefined
  const remembered = await trust.tombstones.remember(lost ? [lost.memory] : [])
  const memories = remembered.filter(memory => memory !== lost?.memory)
  const apply = await trust.tombstones.load()
  apply()
  const policy = new CurrentPolicy({ database })
  const digests = new KeyDigests(peppers)
  const denyList = new DenyList({ database })
  const connections = new GatewayConnections({ registered: [], now: () => storage.time.now() })
  const administration = buildAdministration(config, system, storage, digests, { policy, trust, denyList })
  const { signingKeys } = buildSigning(config, system, storage, issuer, trust, { connections })
  const operations = { ...administration, signingKeys }
  const reconciliation = new Reconciliation({ database, operations })
  return { storage, tombstones: trust.tombstones, memories, lost, reconciliation }
}
