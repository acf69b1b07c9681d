import { Database } from '../src/database/database.ts'
import { DirectoryLoad } from '../src/directory/directory-load.ts'
import { RowSeals } from '../src/installation/row-seals.ts'
import { createLogger } from '../src/system/logger.ts'

/**
 * Measures how long a replica takes to read the directory of DATABASE_URL, and the heap per key:
 *
 *   DATABASE_URL=… node --expose-gc bench/directory-memory.ts
 *
 * Prints one JSON line, which `npm run bench` reads.
 */
const url = process.env.DATABASE_URL
if (!url || !globalThis.gc) throw new Error('needs DATABASE_URL, and node --expose-gc')

const used = () => {
  globalThis.gc?.()
  return process.memoryUsage().heapUsed
}
const database = new Database({ url, maxConnections: 2, logger: createLogger('warn') })
const before = used()
const begun = performance.now()
const signal = new AbortController().signal
const seals = new RowSeals({ encryptionKeys: [], peppers: [] })
const everything = {
  seals,
  maxKeys: 5_000_000,
  tokenTtlSeconds: 300,
  serving: false,
  lookupName: (hash: string) => hash,
}
const load = new DirectoryLoad(database, everything)
await load.run(signal)
const { index } = load
const seconds = (performance.now() - begun) / 1000
console.log(JSON.stringify({ keys: index.size, seconds, bytesPerKey: (used() - before) / index.size }))
await database.close()
