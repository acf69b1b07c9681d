import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import type { Logger } from '../system/logger.ts'
import type { NamedKey } from '../system/secret.ts'
import type { Memory } from '../tombstones/tombstone.ts'
import { readSealed } from './sealed-file.ts'
import { decodeTombstones, type SnapshotHeader } from './snapshot.ts'
import { SnapshotFault } from './snapshot-fault.ts'

/**
 * What the snapshots of a folder remember of the database, of any age: a process that serves the database compares them
 * with it. Files that cannot be used are logged and left out; a folder that does not exist has none.
 */
export async function readMemories(
  folder: string,
  { issuer, encryptionKeys, logger }: { issuer: string; encryptionKeys: readonly NamedKey[]; logger: Logger },
): Promise<Memory[]> {
  const names = await readdir(folder).catch(() => [])
  const memories: Memory[] = []
  for (const name of names.filter(each => each.endsWith('.snapshot'))) {
    try {
      const { header, parts } = await readSealed<SnapshotHeader>(join(folder, name), encryptionKeys)
      if (header.kind !== 'snapshot' || header.issuer !== issuer) continue
      const read = decodeTombstones(parts())
      if (read) memories.push({ ...read, seenAt: header.seenAt, writer: `${header.writer} (${name})` })
    } catch (error) {
      if (!(error instanceof SnapshotFault)) throw error
      logger.warn({ file: name, fault: error.kind }, 'snapshot not compared with the database')
    }
  }
  return memories
}
