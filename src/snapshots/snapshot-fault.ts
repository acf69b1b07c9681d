/**
 * Why a sealed file is not used.
 * - unreadable: the folder or the file cannot be read
 * - incomplete: the file ends before its last part, as after a copy that was interrupted
 * - corrupted: a byte was changed
 * - foreign: it belongs to another installation
 * - lacking_key: it needs a key that this process does not have
 * - version: another version of Mintmark wrote it
 * - old: it is older than the validity
 * - replayed: it is older than the snapshot that an extension names
 * - clock: it was written later than it is now by the clock of this host
 */
export type SnapshotFaultKind =
  | 'unreadable'
  | 'incomplete'
  | 'corrupted'
  | 'foreign'
  | 'lacking_key'
  | 'version'
  | 'old'
  | 'replayed'
  | 'clock'

/** A sealed file that is not used. The message says why, then the cure. */
export class SnapshotFault extends Error {
  override readonly name = 'SnapshotFault'
  readonly kind: SnapshotFaultKind

  constructor(kind: SnapshotFaultKind, message: string, options?: ErrorOptions) {
    super(message, options)
    this.kind = kind
  }
}
