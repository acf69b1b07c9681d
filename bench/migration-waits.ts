import pg from 'pg'
import { until } from '../test/support/until.ts'

/** How long concurrent requests waited, in milliseconds. */
export interface Waits {
  what: string
  count: number
  longestMs: number
}

/** Repeats each in its own loop while `work` runs, and once more after it. */
export async function meanwhile(
  doing: Readonly<Record<string, () => Promise<void>>>,
  work: () => Promise<unknown>,
): Promise<{ seconds: number; waits: Waits[] }> {
  let over = false
  const counted = new Map(Object.keys(doing).map(what => [what, { what, count: 0, longestMs: 0 }]))
  const again = async (what: string, once: () => Promise<void>) => {
    const waits = counted.get(what) as Waits
    while (!over || waits.count === 0) {
      const begun = performance.now()
      await once()
      waits.count++
      waits.longestMs = Math.max(waits.longestMs, performance.now() - begun)
    }
  }
  const loops = Object.entries(doing).map(([what, once]) => again(what, once))
  await until('they are at work', () => [...counted.values()].every(({ count }) => count > 0))
  const begun = performance.now()
  try {
    await work()
  } finally {
    over = true
  }
  const seconds = (performance.now() - begun) / 1000
  await Promise.all(loops)
  return { seconds, waits: [...counted.values()] }
}

/** The statements of a service of the first schema on the tables of keys: for the time before the current schema. */
export async function oldStatements(url: string, keys: number) {
  const clients = await Promise.all([connect(url), connect(url), connect(url)])
  const [looking, writing, listing] = clients as [pg.Client, pg.Client, pg.Client]
  let n = 0
  const anyKey = () => `key_${String(1 + Math.floor(Math.random() * keys)).padStart(16, '0')}`
  return {
    close: () => Promise.all(clients.map(client => client.end())),
    doing: {
      'looking up the secret of an exchange': async () => {
        await looking.query(LOOKUP, [anyKey()])
      },
      'a new key with its secret and the change feed': async () => {
        n++
        await writing.query('BEGIN')
        await writing.query(NEW_KEY, [`key_Made${String(n).padStart(12, '0')}`])
        await writing.query(NEW_SECRET, [
          `sec_Made${String(n).padStart(12, '0')}`,
          `key_Made${String(n).padStart(12, '0')}`,
        ])
        await writing.query(CHANGE)
        await writing.query('COMMIT')
      },
      'revoking a key': async () => {
        await listing.query('UPDATE api_keys SET revoked_at = now() WHERE id = $1', [anyKey()])
      },
    },
  }
}

async function connect(connectionString: string): Promise<pg.Client> {
  const client = new pg.Client({ connectionString })
  await client.connect()
  return client
}

const LOOKUP = `
  SELECT s.id, k.tenant_id, k.expires_at, t.suspended_at FROM api_key_secrets AS s
  JOIN api_keys AS k ON k.id = s.key_id JOIN tenants AS t ON t.id = k.tenant_id WHERE s.key_id = $1`
const NEW_KEY = `INSERT INTO api_keys (id, tenant_id, name, scopes) VALUES ($1, 'tenant-1', 'made', '{inference}')`
const NEW_SECRET = `INSERT INTO api_key_secrets (id, key_id, digest, pepper_id) VALUES ($1::text, $2, sha256($1::text::bytea), 'p1')`
const CHANGE = `
  WITH counter AS (UPDATE change_counter SET number = number + 1 RETURNING number)
  INSERT INTO change_feed (number, changes) SELECT number, '[]' FROM counter`
