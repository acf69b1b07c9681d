import { randomBytes } from 'node:crypto'
import pg from 'pg'
import { inject } from 'vitest'
import type { TestDatabase } from './test-database.ts'

/** A copy of a database, which it can be restored to while services use it. */
export interface DatabaseBackup {
  restore(): Promise<void>
  drop(): Promise<void>
}

/** Copies the database: its sessions end, and new ones are refused meanwhile. */
export async function backUp({ name }: TestDatabase): Promise<DatabaseBackup> {
  const copy = `${name}_backup_${randomBytes(4).toString('hex')}`
  await withoutSessions(name, client => create(client, copy, name))
  return {
    restore: () =>
      withoutSessions(name, async client => {
        await client.query(`DROP DATABASE ${name} WITH (FORCE)`)
        await create(client, name, copy)
      }),
    drop: () => asSuperuser(async client => void (await client.query(`DROP DATABASE IF EXISTS ${copy}`))),
  }
}

const create = async (client: pg.Client, name: string, template: string) => {
  await client.query(`CREATE DATABASE ${name} TEMPLATE ${template} STRATEGY file_copy`)
}

async function withoutSessions(name: string, work: (client: pg.Client) => Promise<void>): Promise<void> {
  await asSuperuser(async client => {
    await client.query(`ALTER DATABASE ${name} ALLOW_CONNECTIONS false`)
    await client.query(
      'SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = $1 AND pid <> pg_backend_pid()',
      [name],
    )
    await work(client)
    await client.query(`ALTER DATABASE ${name} ALLOW_CONNECTIONS true`)
  })
}

async function asSuperuser(work: (client: pg.Client) => Promise<void>): Promise<void> {
  const client = new pg.Client({ connectionString: inject('postgres').ownerUrl })
  await client.connect()
  try {
    await work(client)
  } finally {
    await client.end()
  }
}
