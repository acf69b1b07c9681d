import type { FeedPosition } from '../database/change-feed.ts'
import type { IdentityContents, IdentityKey, KnownProvider } from '../directory/identity-contents.ts'
import type { Introspector } from '../directory/introspector.ts'
import type { KnownContents, KnownKey, KnownSecret, KnownTenant } from '../directory/known-key.ts'
import type { KeptKeySet } from '../identity-providers/fetching/fetched-keys.ts'
import type { ExportedKeys } from '../signing-keys/exported-keys.ts'
import { SIGNING_KEY, type SigningKeyRow } from '../signing-keys/signing-key-seal.ts'
import type { KeyRights } from '../tenants/rights.ts'
import type { DeniedValue } from '../token-revocations/token-revocation.ts'
import type { Memory, Tombstone } from '../tombstones/tombstone.ts'
import { CORRUPTED } from './sealed-file.ts'
import { SnapshotFault } from './snapshot-fault.ts'

/** What is known of a snapshot before it is decrypted. */
export interface SnapshotHeader {
  kind: 'snapshot'
  /** The version of the content. */
  content: number
  issuer: string
  /** Everything up to this change is in it. */
  position: FeedPosition
  /** The replica that wrote it had seen every change before this instant. Epoch milliseconds, database time. */
  seenAt: number
  /** The host and process that wrote it, and the version of Mintmark. */
  writer: string
  writerVersion: string
  /** The pepper of new API keys, and a value that identifies it without revealing it. */
  pepper: { id: string; check: string }
}

/** Nothing proves a header before the content is read: a single bit may be wrong. @throws {SnapshotFault} */
export function requireForm({ issuer, seenAt, position, pepper }: Partial<SnapshotHeader>): void {
  const texts = [issuer, position?.number, pepper?.id, pepper?.check]
  if (texts.every(text => typeof text === 'string') && Number.isFinite(seenAt)) return
  throw new SnapshotFault('corrupted', CORRUPTED)
}

/** Of a snapshot among others: the newest, and what cannot be read, come first. */
export const rankOf = (header: Partial<SnapshotHeader> | undefined): number =>
  Number.isFinite(header?.seenAt) ? Number(header?.seenAt) : Number.MAX_VALUE

/** What a replica needs to serve without Postgres. */
export interface SnapshotContent {
  signingKeys: ExportedKeys
  /** Keys and tenants that this replica saw revoked or deleted: `key key_…`, `tenant acme`. */
  gone: readonly string[]
  /** The deny list. */
  denied: readonly DeniedValue[]
  introspectors: readonly Introspector[]
  directory: KnownContents
  identities: IdentityContents
  /** What ended, and in which state of the database; undefined: an older version of Mintmark wrote the snapshot. */
  tombstones: SnapshotTombstones | undefined
}

type SnapshotTombstones = Pick<Memory, 'mark' | 'ended' | 'pending'>

/** The version of the content that this version of Mintmark writes and reads. */
export const CONTENT_VERSION = 2

/** Bounds how long encoding a part delays exchanges, to a few milliseconds. */
const OBJECTS_A_PART = 250
/** Those with JWK Sets and rules can be larger. */
const LARGE_OBJECTS_A_PART = 25

/** The content as parts of a sealed file, each encoded when it is taken. */
export function* encodeSnapshot(content: SnapshotContent): Generator<Buffer> {
  const { directory, gone, denied, introspectors, identities } = content
  const { rows, ...ofKeys } = content.signingKeys
  const { tenants, keys, ...small } = directory
  const { ended = [], pending = [], mark } = content.tombstones ?? {}
  const counts = {
    tenants: tenants.length,
    keys: keys.length,
    providers: identities.providers.length,
    identityKeys: identities.keys.length,
    fetched: identities.fetched.length,
    denied: denied.length,
    ended: ended.length,
    pending: pending.length,
  }
  yield json({
    ...ofKeys,
    signingKeys: rows.map(encodeRow),
    gone,
    introspectors,
    directory: small,
    mark,
    counts,
  })
  for (const part of chunks(ended)) yield json({ ended: part })
  for (const part of chunks(pending)) yield json({ pending: part })
  for (const part of chunks(denied)) yield json({ denied: part })
  for (const part of chunks(identities.fetched, LARGE_OBJECTS_A_PART)) yield json({ fetched: part })
  for (const part of chunks(tenants)) yield json({ tenants: part })
  for (const part of chunks(identities.providers, LARGE_OBJECTS_A_PART)) yield json({ providers: part })
  for (const part of chunks(identities.keys, LARGE_OBJECTS_A_PART)) yield json({ identityKeys: part })
  const places = new Map<KeyRights, number>()
  for (const part of chunks(keys)) {
    // Many keys share one object with their rights: it is written once, before its first key.
    const rights: KeyRights[] = []
    const encoded = part.map(key => {
      let place = places.get(key.rights)
      if (place === undefined) {
        place = places.size
        places.set(key.rights, place)
        rights.push(key.rights)
      }
      return encodeKey(key, place)
    })
    yield json({ rights, keys: encoded })
  }
}

/** @throws {SnapshotFault} when the parts are of another version, or are not all there. */
export function decodeSnapshot(parts: Iterable<Buffer>): SnapshotContent {
  const tenants: KnownTenant[] = []
  const denied: DeniedValue[] = []
  const keys: KnownKey[] = []
  const rights: KeyRights[] = []
  const providers: KnownProvider[] = []
  const identityKeys: IdentityKey[] = []
  const ended: Tombstone[] = []
  const pending: Tombstone[] = []
  const fetched: KeptKeySet[] = []
  // biome-ignore lint/suspicious/noExplicitAny: the seal proves that encodeSnapshot wrote it
  let first: any
  for (const part of parts) {
    const read = JSON.parse(part.toString())
    first ??= read
    for (const tenant of read.tenants ?? []) tenants.push(tenant)
    for (const provider of read.providers ?? []) providers.push(provider)
    for (const key of read.identityKeys ?? []) identityKeys.push(key)
    for (const set of read.fetched ?? []) fetched.push(set)
    for (const entry of read.denied ?? []) denied.push(entry)
    for (const each of read.rights ?? []) rights.push(each)
    for (const key of read.keys ?? []) keys.push(decodeKey(key, rights))
    for (const tombstone of read.ended ?? []) ended.push(tombstone)
    for (const tombstone of read.pending ?? []) pending.push(tombstone)
  }
  const { installation, modifiedAt, signingKeys, gone, introspectors, directory, mark, counts } = first
  const whole = { tenants, keys, providers, identityKeys, fetched, denied, ended, pending }
  if (Object.entries(whole).some(([name, list]) => counts[name] !== list.length))
    throw new SnapshotFault('corrupted', 'Its parts do not add up: remove it.')
  return {
    signingKeys: { rows: signingKeys.map(decodeRow), installation, modifiedAt },
    gone,
    denied,
    introspectors,
    directory: { ...directory, tenants, keys },
    identities: { providers, keys: identityKeys, fetched },
    tombstones: mark && { mark, ended, pending },
  }
}

/** Only what ended, and the id of the installation: a tenth of the file. @throws {SnapshotFault} */
export function decodeTombstones(
  parts: Iterable<Buffer>,
): (SnapshotTombstones & { installation: string; denied: DeniedValue[] }) | undefined {
  const read = { ended: [] as Tombstone[], pending: [] as Tombstone[], denied: [] as DeniedValue[] }
  // biome-ignore lint/suspicious/noExplicitAny: the seal proves that encodeSnapshot wrote it
  let first: any
  for (const part of parts) {
    const content = JSON.parse(part.toString())
    first ??= content
    if (first.mark === undefined) return undefined
    read.ended.push(...(content.ended ?? []))
    read.pending.push(...(content.pending ?? []))
    read.denied.push(...(content.denied ?? []))
    if (Object.entries(read).every(([name, list]) => (first.counts[name] ?? 0) === list.length))
      return { ...read, mark: first.mark, installation: first.installation.id }
  }
  throw new SnapshotFault('corrupted', 'Its parts do not add up: remove it.')
}

const json = (value: object) => Buffer.from(JSON.stringify(value))

function* chunks<T>(items: readonly T[], size = OBJECTS_A_PART): Generator<readonly T[]> {
  for (let from = 0; from < items.length; from += size) yield items.slice(from, from + size)
}

type EncodedKey = [
  id: string,
  tenantId: string,
  expiresAt: number | null,
  flags: number,
  rights: number,
  secrets: [id: string, digest: string, endsAt: number | null, more?: Partial<KnownSecret>][],
  epoch: string,
]

const DISABLED = 1
const INCOMPLETE = 2
const UNVERIFIABLE = 4

const encodeKey = (key: KnownKey, rights: number): EncodedKey => [
  key.id,
  key.tenantId,
  key.expiresAt,
  (key.disabled ? DISABLED : 0) + (key.incomplete ? INCOMPLETE : 0) + (key.unverifiable ? UNVERIFIABLE : 0),
  rights,
  key.secrets.map(({ id, digest, endsAt, ...more }) =>
    more.imported ? [id, digest, endsAt, more] : [id, digest, endsAt],
  ),
  key.epoch,
]

const decodeKey = (
  [id, tenantId, expiresAt, flags, place, secrets, epoch]: EncodedKey,
  rights: readonly KeyRights[],
): KnownKey => ({
  id,
  tenantId,
  expiresAt,
  disabled: (flags & DISABLED) > 0,
  epoch,
  rights: rights[place] as KeyRights,
  secrets: secrets.map(([secretId, digest, endsAt, more]) => ({ id: secretId, digest, endsAt, ...more })),
  ...((flags & INCOMPLETE) > 0 && { incomplete: true }),
  ...((flags & UNVERIFIABLE) > 0 && { unverifiable: true }),
})

const INSTANTS = SIGNING_KEY.columns.filter(name => name.endsWith('_at')) as Extract<
  keyof SigningKeyRow,
  `${string}_at`
>[]
const BYTES = ['private_encrypted', 'seal'] as const

function encodeRow(row: SigningKeyRow): Record<string, unknown> {
  const instants = INSTANTS.map(name => [name, row[name] === null ? null : Number(row[name])])
  const bytes = BYTES.map(name => [name, row[name]?.toString('base64') ?? null])
  return { ...row, ...Object.fromEntries([...instants, ...bytes]) }
}

function decodeRow(row: Record<string, unknown>): SigningKeyRow {
  const instants = INSTANTS.map(name => [name, row[name] === null ? null : new Date(row[name] as number)])
  const bytes = BYTES.map(name => [
    name,
    row[name] === null ? null : Buffer.from(row[name] as string, 'base64'),
  ])
  return { ...row, ...Object.fromEntries([...instants, ...bytes]) }
}
