import type { AddressInfo } from 'node:net'
import { createServer, type Server } from 'node:net'
import { sql } from 'kysely'
import { afterEach, describe, expect, it } from 'vitest'
import { Database } from '../../src/database/database.ts'
import { readForeignDatabase } from '../../src/database/foreign-database.ts'
import { toDomainError } from '../../src/database/postgres-errors.ts'
import { InstallationMismatch } from '../../src/installation/installation.ts'
import { createLogger } from '../../src/system/logger.ts'

const message = (type: string, body: Buffer) => {
  const head = Buffer.alloc(5)
  head.write(type)
  head.writeInt32BE(body.length + 4, 1)
  return Buffer.concat([head, body])
}
const AUTHENTICATED = message('R', Buffer.from([0, 0, 0, 0]))
const READY = message('Z', Buffer.from('I'))
const FATAL = message('E', Buffer.from('SFATAL\0C57P01\0Mterminating connection\0\0'))

let server: Server
afterEach(() => void server.close())

describe('a database that becomes unavailable', () => {
  it('at the moment of a checkout does not end the process', async () => {
    // Ready for queries and ended, in one segment: between the pool's error listener and ours.
    server = createServer(socket => {
      socket.once('data', () => socket.end(Buffer.concat([AUTHENTICATED, READY, FATAL])))
      socket.on('error', () => {})
    }).listen(0, '127.0.0.1')
    await new Promise(resolve => server.once('listening', resolve))
    const url = `postgres://u:p@127.0.0.1:${(server.address() as AddressInfo).port}/d`
    const database = new Database({ url, maxConnections: 2, logger: createLogger('silent') })
    for (let attempt = 0; attempt < 5; attempt++) {
      await expect(database.run(db => sql`SELECT 1`.execute(db))).rejects.toMatchObject({
        name: 'Unavailable',
      })
    }
    await database.close()
  })
})

/** What an SQL client sends first: its version, and who it is. Everything after that is a query. */
async function answering(...answers: Buffer[]): Promise<string> {
  server = createServer(socket => {
    socket.on('error', () => {})
    socket.once('data', () => {
      socket.write(Buffer.concat([AUTHENTICATED, READY]))
      socket.once('data', () =>
        answers.length > 0 ? socket.write(Buffer.concat(answers)) : socket.destroy(),
      )
    })
  }).listen(0, '127.0.0.1')
  await new Promise(resolve => server.once('listening', resolve))
  return `postgres://u:p@127.0.0.1:${(server.address() as AddressInfo).port}/d`
}

describe('a connection', () => {
  const row = message('D', Buffer.from([0, 1, 0, 0, 0, 1, 49]))
  const complete = message('C', Buffer.from('SELECT 1\0'))
  it.each([
    ['is closed in the middle of a query', []],
    ['ends an answer that has not begun', [complete, READY, READY, complete, complete]],
    ['answers with rows that nobody asked for', [complete, READY, row, READY, complete, READY]],
  ])('that %s is 503 and not 500', async (_, answers) => {
    const url = await answering(...answers)
    const database = new Database({ url, maxConnections: 1, logger: createLogger('silent') })
    const statements = [1, 2].map(() => database.run(db => sql`SELECT 1`.execute(db)))
    const outcomes = await Promise.allSettled(statements)
    const errors = outcomes.flatMap(outcome => (outcome.status === 'rejected' ? [outcome.reason] : []))
    expect(errors.map(({ name }) => name)).toEqual(errors.map(() => 'Unavailable'))
    expect(errors).not.toEqual([])
    await database.close()
  })
})

it('the database of another system that closes the connection is unavailable, and not a fault of ours', async () => {
  const url = await answering()
  await expect(readForeignDatabase(url, query => query('SELECT 1'))).rejects.toMatchObject({
    name: 'Unavailable',
  })
})

describe('an error', () => {
  it.each([
    [
      'a mismatch of the installation, whatever its text',
      new InstallationMismatch(['it belongs to https://extended.example.com']),
    ],
    ['a bug, whatever it names', new TypeError('closed is not a function')],
  ])('is not changed: %s', (_, error) => {
    server = createServer()
    expect(toDomainError(error)).toBe(error)
  })
})
