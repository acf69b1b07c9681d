import { randomBytes } from 'node:crypto'
import bcrypt from 'bcrypt'
import pg from 'pg'
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest'
import { SecretProofs } from '../../src/api-keys/imported/secret-proof.ts'
import { Secret } from '../../src/system/secret.ts'
import { briskClock } from '../support/adjustable-clock.ts'
import { startReplica } from '../support/replicas.ts'
import { rewriteImported } from '../support/sealed-rows.ts'
import { type JsonAnswer, startTestService, type TestService } from '../support/test-service.ts'
import { until } from '../support/until.ts'

const BRISK = { clock: briskClock }
const COST = 6
/** On a busy machine its turn may come before the client was looked up, and is then used for a dummy hash. */
const ONCE = expect.toBeOneOf([1, 2])

let mintmark: TestService
beforeAll(async () => {
  mintmark = await startTestService({ overrides: BRISK })
  await mintmark.admin('POST', '/tenants', { id: 'acme' })
})
afterAll(() => mintmark.stop())

interface Client {
  client_id: string
  secret: string
  hash: string
  key: string
}
let made = 0
async function imported(): Promise<Client> {
  const client_id = `legacy-${++made}`
  const secret = `chosen by a person ${made}`
  const hash = await bcrypt.hash(secret, COST)
  const clients = [{ client_id, tenant: 'acme', scheme: 'bcrypt', hash }]
  const { status, text, body } = await mintmark.admin('POST', '/imported-clients', { clients })
  expect(status, text).toBe(200)
  return { client_id, secret, hash, key: body.rows[0].key }
}
const exchange = ({ client_id, secret }: Client, at = mintmark): Promise<JsonAnswer> =>
  at.token({ grant_type: 'client_credentials', client_id, client_secret: secret })

/** The status of an exchange, and how many bcrypt hashes were compared for it. */
async function compared(client: Client, at = mintmark): Promise<[status: number, comparisons: number]> {
  const spy = vi.spyOn(bcrypt, 'compare')
  try {
    return [(await exchange(client, at)).status, spy.mock.calls.length]
  } finally {
    spy.mockRestore()
  }
}

const sql = <Row extends object>(statement: string, ...values: unknown[]) =>
  mintmark.database.asOwner<Row & Record<string, unknown>>(statement, values)
const proofOf = async ({ client_id }: Client) =>
  (
    await sql<{ pepper: string; digest: Buffer }>(
      `SELECT p.pepper_id AS pepper, p.digest FROM secret_proofs AS p
       JOIN api_key_secrets AS s ON s.id = p.secret_id WHERE s.client_id = $1`,
      client_id,
    )
  )[0]

/** An imported client whose secret was compared once, with its proof stored. */
async function proven(): Promise<Client> {
  const client = await imported()
  expect(await compared(client)).toEqual([200, ONCE])
  await until(
    'the proof is stored',
    () => proofOf(client),
    row => row !== undefined,
  )
  return client
}
async function onNewReplica<T>(
  work: (replica: TestService) => Promise<T>,
  env: Record<string, string> = {},
): Promise<T> {
  const replica = await startReplica(mintmark, env, BRISK)
  try {
    return await work(replica)
  } finally {
    await replica.stop()
  }
}

describe('a secret that matched its imported hash', () => {
  it('is compared once, and after a restart not at all', async () => {
    const client = await proven()
    expect(await compared(client)).toEqual([200, 0])
    await onNewReplica(async replica => {
      expect(await compared(client, replica)).toEqual([200, 0])
      expect((await compared({ ...client, secret: 'guessed' }, replica))[0]).toBe(401)
      expect(await compared(client, replica)).toEqual([200, 0])
    })
  })

  it('is not compared either where the directory has no room for its client', async () => {
    const client = await proven()
    await onNewReplica(
      async replica => {
        // A dummy comparison may have begun during the lookup.
        expect((await compared(client, replica))[0]).toBe(200)
        expect((await compared({ ...client, secret: 'guessed' }, replica))[0]).toBe(401)
      },
      { MINTMARK_DIRECTORY_MAX_KEYS: '1' },
    )
  })

  it('is stored as nothing that can be presented or shown', async () => {
    const client = await proven()
    const digest = (await proofOf(client))?.digest as Buffer
    for (const form of ['base64', 'base64url', 'hex'] as const)
      expect((await exchange({ ...client, secret: digest.toString(form) })).status).toBe(401)
    const shown = await mintmark.admin('GET', `/keys/${client.key}`)
    for (const form of ['base64', 'base64url', 'hex'] as const)
      expect(shown.text + mintmark.logs.join('')).not.toContain(digest.toString(form))
  })

  it('is compared again when its proof is deleted, which costs nothing else', async () => {
    const client = await proven()
    await sql('DELETE FROM secret_proofs')
    await onNewReplica(async replica => expect(await compared(client, replica)).toEqual([200, ONCE]))
  })
})

describe('a proof ends', () => {
  it('with the hash that it is for', async () => {
    const client = await proven()
    const hash = await bcrypt.hash('another', COST)
    await rewriteImported(
      mintmark.database,
      mintmark.environment,
      'UPDATE api_key_secrets SET hash = $1 WHERE client_id = $2',
      [hash, client.client_id],
    )
    await onNewReplica(async replica => {
      expect((await compared(client, replica))[0]).toBe(401)
      expect(await compared({ ...client, secret: 'another' }, replica)).toEqual([200, ONCE])
    })
  })

  it.each([
    ['its key is revoked', (client: Client) => mintmark.admin('POST', `/keys/${client.key}/revoke`, {})],
    [
      'its secret is revoked',
      async (client: Client) => {
        const { body } = await mintmark.admin('GET', `/keys/${client.key}`)
        return mintmark.admin('POST', `/keys/${client.key}/secrets/${body.secrets[0].id}/revoke`)
      },
    ],
    [
      'keys are revoked by a filter',
      async (client: Client) => {
        await mintmark.admin('PATCH', `/keys/${client.key}`, { labels: { leaving: client.client_id } })
        return mintmark.admin('POST', '/keys/revoke', {
          filter: { label: `leaving=${client.client_id}` },
          reason: 'left',
        })
      },
    ],
  ])('when %s', async (_, revoke) => {
    const client = await proven()
    const { status, text } = await revoke(client)
    expect(status, text).toBe(200)
    const refused = await exchange(client)
    expect(refused.status).toBe(401)
    expect(await proofOf(client)).toBeUndefined()
    // Nothing was compared, so the log does not take the caller for the client.
    const id = refused.headers.get('x-request-id') ?? 'none'
    const line = await until('it is logged', async () => mintmark.logs.find(each => each.includes(id)))
    expect(JSON.parse(line ?? '')).toMatchObject({
      reason: expect.stringMatching(/^(key|secret)_revoked$/),
      client_id: client.key,
      client_unproven: true,
    })
  })

  it('when it does not belong to the client: its row is of another one', async () => {
    const [victim, own] = [await imported(), await proven()]
    await sql(
      `INSERT INTO secret_proofs (secret_id, digest, pepper_id)
       SELECT victim.id, p.digest, p.pepper_id FROM secret_proofs AS p
       JOIN api_key_secrets AS own ON own.id = p.secret_id AND own.client_id = $1
       JOIN api_key_secrets AS victim ON victim.client_id = $2`,
      own.client_id,
      victim.client_id,
    )
    await onNewReplica(async replica => {
      expect((await compared({ ...victim, secret: own.secret }, replica))[0]).toBe(401)
      // Nor does it lock the client out.
      expect((await compared(victim, replica))[0]).toBe(200)
    })
  })

  it('when it was made without the pepper, as with write access to the database alone', async () => {
    const client = await imported()
    const stranger = new SecretProofs([{ id: 'p1', key: new Secret(randomBytes(32)) }])
    const forged = stranger.of({ clientId: client.client_id, hash: client.hash, secret: 'guessed' })
    await sql(
      `INSERT INTO secret_proofs (secret_id, digest, pepper_id)
       SELECT id, decode($1, 'base64'), 'p1' FROM api_key_secrets WHERE client_id = $2`,
      forged.digest,
      client.client_id,
    )
    await onNewReplica(async replica => {
      expect((await compared({ ...client, secret: 'guessed' }, replica))[0]).toBe(401)
      expect((await compared(client, replica))[0]).toBe(200)
    })
  })
})

/** The work, while a transaction of an administrator has the secret's row; it commits at the end. */
async function whileLocked(
  { client_id }: Awaited<ReturnType<typeof imported>>,
  work: (administrator: pg.Client) => Promise<void>,
): Promise<void> {
  const administrator = new pg.Client({ connectionString: mintmark.database.ownerUrl })
  await administrator.connect()
  try {
    await administrator.query('BEGIN')
    await administrator.query('SELECT FROM api_key_secrets WHERE client_id = $1 FOR UPDATE', [client_id])
    await work(administrator)
    await administrator.query('COMMIT')
  } finally {
    await administrator.end()
  }
}

describe('a proof of a secret that an administrator has locked', () => {
  it('is stored once the lock is gone', async () => {
    const client = await imported()
    await whileLocked(client, async () => {
      const other = await imported()
      for (const each of [client, other]) expect((await exchange(each)).status).toBe(200)
      await until(
        'the other is stored',
        () => proofOf(other),
        row => row !== undefined,
      )
      expect(await proofOf(client)).toBeUndefined()
    })
    await until(
      'this one, too',
      () => proofOf(client),
      row => row !== undefined,
    )
  })
})

it('no proof is stored of a secret that is revoked while the proof waits', async () => {
  const client = await imported()
  await whileLocked(client, async administrator => {
    expect((await exchange(client)).status).toBe(200)
    await administrator.query('UPDATE api_key_secrets SET revoked_at = now() WHERE client_id = $1', [
      client.client_id,
    ])
  })
  const later = await imported()
  expect((await exchange(later)).status).toBe(200)
  await until('later ones are stored', () => proofOf(later), Boolean)
  expect(await proofOf(client)).toBeUndefined()
})

describe('a new first pepper', () => {
  const newer = `p2:${randomBytes(32).toString('base64url')}`

  it('gets the proofs of used secrets, without a comparison; one under a pepper that was dropped is none', async () => {
    const [client, idle] = [await proven(), await proven()]
    const older = mintmark.environment.MINTMARK_PEPPERS ?? ''
    await onNewReplica(
      async replica => {
        expect(await compared(client, replica)).toEqual([200, 0])
        await until(
          'it is proven anew',
          () => proofOf(client),
          row => row?.pepper === 'p2',
        )
        expect(await compared(client, replica)).toEqual([200, 0])
        // The seals of rows are under the older pepper until then.
        expect((await replica.admin('POST', '/signing-keys/rewrap')).status).toBe(200)
      },
      { MINTMARK_PEPPERS: `${newer},${older}` },
    )
    expect((await proofOf(idle))?.pepper).toBe('p1')
    await onNewReplica(
      async replica => {
        expect(await compared(client, replica)).toEqual([200, 0])
        expect(await compared(idle, replica)).toEqual([200, ONCE])
      },
      { MINTMARK_PEPPERS: newer },
    )
    await until(
      'it is proven again',
      () => proofOf(idle),
      row => row?.pepper === 'p2',
    )
  })
})
