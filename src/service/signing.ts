import { resealImported } from '../api-keys/imported/imported-reseal.ts'
import type { Actor } from '../audit/audit-event.ts'
import type { Config } from '../config/config.ts'
import { FetchTokens } from '../identity-providers/fetching/fetch-tokens.ts'
import { resealIdentities } from '../identity-providers/identity-reseal.ts'
import { Replicas } from '../installation/replicas.ts'
import { KeyEncryption } from '../signing-keys/key-encryption.ts'
import type { KeyRing } from '../signing-keys/key-ring.ts'
import { SigningKeys } from '../signing-keys/signing-keys.ts'
import { processName } from '../system/host.ts'
import { TokenIssuer } from '../tokens/token-issuer.ts'
import type { DirectoryParts } from './directory.ts'
import type { Storage, System } from './storage.ts'
import type { TrustParts } from './trust.ts'

export interface SigningParts {
  signingKeys: SigningKeys
  /** The keys that this process publishes. @throws {Unavailable} until they are loaded. */
  ring: () => KeyRing
  tokenIssuer: TokenIssuer
  /** The processes that publish the same keys. */
  replicas: Replicas
}

export function buildSigning(
  config: Config,
  { clock, random }: System,
  { database, time }: Storage,
  issuer: string,
  { seals, untrusted }: TrustParts,
  { connections }: Pick<DirectoryParts, 'connections'>,
): SigningParts {
  const { stalenessSeconds, shortPublishLeadAllowed } = config
  const encryption = new KeyEncryption({ keys: config.encryptionKeys, random })
  const gateways = () => connections.report
  const self = { id: random.uuid(), host: processName(), stalenessSeconds }
  const replicas = new Replicas({ database, ...self, gateways })
  const hostAheadSeconds = () => (time.hostAheadMs ?? 0) / 1000
  const tokens = new FetchTokens({ keys: config.encryptionKeys, random })
  const reseal = async (actor: Actor) =>
    (await resealImported(database, seals, actor)) + (await resealIdentities(database, seals, tokens, actor))
  const trust = { seals, untrusted, reseal }
  const keeping = {
    ...trust,
    database,
    encryption,
    replicas,
    clock,
    hostAheadSeconds,
    shortPublishLeadAllowed,
  }
  const signingKeys = new SigningKeys(keeping)
  const ring = () => signingKeys.ring
  return { signingKeys, ring, tokenIssuer: new TokenIssuer({ issuer, ring, random }), replicas }
}
