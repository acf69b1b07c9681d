/** What happened to an object. `disabled` and `suspended` can be taken back, the others cannot. */
export type TombstoneKind =
  | 'key_revoked'
  | 'key_disabled'
  | 'secret_ended'
  | 'tenant_suspended'
  | 'tenant_deleted'
  | 'signing_key_revoked'
  | 'admin_token_revoked'
  | 'credential_deleted'
  | 'provider_deleted'
  | 'usage_reporter_deleted'
  | 'usage_reporter_secret_ended'

/** An object that ended, or does at `at`. */
export interface Tombstone {
  kind: TombstoneKind
  id: string
  /** The key of a secret or credential, the tenant of a key, the usage reporter of its secret; null: none. */
  owner: string | null
  /** Epoch milliseconds. */
  at: number
}

export const isReversible = (kind: TombstoneKind): boolean =>
  kind === 'key_disabled' || kind === 'tenant_suspended'

/** Identifies what is refused. */
export const nameOf = ({ kind, id }: Pick<Tombstone, 'kind' | 'id'>): string => `${kind} ${id}`

/** The head of the audit chain: the state of a database up to here. Two databases with the same mark have the same past. */
export interface Mark {
  /** Position in the chain. */
  id: number
  /** Hex. */
  hash: string
}

/** What a replica knew of a database: of this process, or of a snapshot. */
export interface Memory {
  mark: Mark
  /** The id of the installation. */
  installation: string
  /** Epoch milliseconds of database time: everything that ended before is in it. */
  seenAt: number
  /** The process that knew it. */
  writer: string
  ended: readonly Tombstone[]
  /** Of a restore before, not yet reconciled. */
  pending: readonly Tombstone[]
  /** The deny list of tokens, of a snapshot. */
  denied?: readonly DeniedToken[]
}

/** An entry of the deny list. `endsAt` in epoch milliseconds. */
interface DeniedToken {
  claim: 'jti' | 'key_epoch' | 'tenant_epoch'
  value: string
  endsAt: number
}
