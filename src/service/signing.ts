import type { Config } from '../config/config.ts'
import { Replicas } from '../installation/replicas.ts'
import { KeyEncryption } from '../signing-keys/key-encryption.ts'
import { SigningKeys } from '../signing-keys/signing-keys.ts'
import { processName } from '../system/host.ts'
import { TokenIssuer } from '../tokens/token-issuer.ts'
import type { Storage, System } from './storage.ts'

/** The signing keys, the replicas that publish them, and who signs with them. */
export function buildSigning(
  config: Config,
  { clock, random }: System,
  { database, time }: Storage,
  issuer: string,
) {
  const { stalenessSeconds, shortPublishLeadAllowed } = config
  const encryption = new KeyEncryption({ keys: config.encryptionKeys, random })
  const replicas = new Replicas({ database, id: random.uuid(), host: processName(), stalenessSeconds })
  const hostAheadSeconds = () => (time.hostAheadMs ?? 0) / 1000
  const keeping = { database, encryption, replicas, clock, hostAheadSeconds, shortPublishLeadAllowed }
  const signingKeys = new SigningKeys(keeping)
  const ring = () => signingKeys.ring
  return { issuer, replicas, signingKeys, ring, tokenIssuer: new TokenIssuer({ issuer, ring, random }) }
}
