import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { chained } from '../../src/audit/audit-chain.ts'
import { openCheckpoint } from '../../src/audit/audit-checkpoint.ts'
import { appendRows } from '../../src/audit/audit-event-repository.ts'
import type { SignedHead } from '../../src/audit/audit-retention.ts'
import { verifyDatabase } from '../../src/audit/audit-upkeep.ts'
import { verifyTrail } from '../../src/audit/audit-verification.ts'
import { Database } from '../../src/database/database.ts'
import { systemClock } from '../../src/system/clock.ts'
import { createLogger } from '../../src/system/logger.ts'
import { type Outcome, mintmark as run } from '../cli/mintmark.ts'
import { PATIENT } from '../support/patient.ts'
import { startTestService, type TestService } from '../support/test-service.ts'

/** The table owner makes changes that no trigger can prevent, and `mintmark audit verify` reports them. */

const ROWS = 30
let mintmark: TestService
let folder: string
let checkpoint: { id: number; jws: string }
let checkpointFile: string
let exported: string
let database: Database
let counter: Record<string, unknown> | undefined
beforeAll(async () => {
  mintmark = await startTestService()
  folder = await mkdtemp(join(tmpdir(), 'mintmark-audit-'))
  await mintmark.tenantWithKey({ id: 'acme' })
  while ((await lastId()) < ROWS)
    await mintmark.admin('PATCH', '/tenants/acme', { name: `n${await lastId()}` })
  checkpoint = (await mintmark.admin('GET', '/audit-checkpoint')).body
  database = new Database({
    url: mintmark.database.applicationUrl,
    maxConnections: 1,
    logger: createLogger('silent'),
    timeouts: PATIENT,
  })
  checkpointFile = join(folder, 'checkpoints')
  await writeFile(checkpointFile, `${checkpoint.jws}\n`)
  await mintmark.service.stop()
  exported = (
    await sql<{ row: string }>(`SELECT json_build_object('id', id, 'at', to_char(at AT TIME ZONE 'UTC',
      'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'), 'actor', actor, 'action', action, 'outcome', outcome,
      'target_kind', target_kind, 'target_id', target_id, 'tenant', tenant_id, 'request_id', request_id,
      'source', source, 'changes', changes, 'previous_hash', encode(previous_hash, 'hex'),
      'hash', encode(hash, 'hex'))::text AS row FROM audit_events ORDER BY id`)
  )
    .map(({ row }) => row)
    .join('\n')
  await sql('CREATE TABLE kept AS TABLE audit_events')
  ;[counter] = await sql('SELECT audit_id, audit_hash FROM change_counter')
})
afterAll(async () => {
  await database.close()
  await mintmark.database.drop()
  await rm(folder, { recursive: true, force: true })
})
beforeEach(async () => {
  await tamper('DELETE FROM audit_events', 'INSERT INTO audit_events SELECT * FROM kept')
  await sql(
    'UPDATE change_counter SET audit_id = $1, audit_hash = $2, audit_cut_id = 0, audit_cut_hash = $3',
    [counter?.audit_id, counter?.audit_hash, Buffer.alloc(32)],
  )
})

const sql = <Row extends object>(statement: string, values?: unknown[]) =>
  mintmark.database.asOwner<Row & Record<string, unknown>>(statement, values)
const lastId = async () =>
  Number((await sql<{ id: string }>('SELECT max(id) AS id FROM audit_events'))[0]?.id)

async function tamper(...statements: string[]): Promise<void> {
  await sql('ALTER TABLE audit_events DISABLE TRIGGER USER')
  for (const statement of statements) await sql(statement)
  await sql('ALTER TABLE audit_events ENABLE TRIGGER USER')
}

const verify = (...args: string[]): Promise<Outcome> =>
  run(['audit', 'verify', '-o', 'json', ...args], {
    env: {
      DATABASE_URL: mintmark.database.applicationUrl,
      MINTMARK_ENCRYPTION_KEYS: mintmark.environment.MINTMARK_ENCRYPTION_KEYS ?? '',
    },
  })
const findings = ({ stdout }: Outcome): [kind: string, id: number][] =>
  JSON.parse(stdout).findings.map(({ kind, id }: { kind: string; id: number }) => [kind, id])

describe('mintmark audit verify, on the database', () => {
  it('reports its findings, and exits with 3', async () => {
    await tamper('DELETE FROM audit_events WHERE id = 7')
    const outcome = await verify()
    expect(outcome).toMatchObject({ code: 3, stderr: expect.stringContaining('Row 7 is missing.') })
    expect(findings(outcome)).toEqual([['missing', 7]])
  })

  it('finds nothing in an unchanged trail', async () => {
    const outcome = await verify('--checkpoint', checkpointFile)
    expect(outcome).toMatchObject({ code: 0, stderr: '' })
    expect(JSON.parse(outcome.stdout)).toMatchObject({
      rows: ROWS,
      first: 1,
      last: { id: ROWS },
      findings: [],
    })
  })

  const renumber = (from: number, by: number) =>
    `UPDATE audit_events SET id = moved.id + ${by} FROM (SELECT id FROM kept WHERE id >= ${from}) AS moved
      WHERE audit_events.id = -moved.id`
  const aside = (from: number) => `UPDATE audit_events SET id = -id WHERE id >= ${from}`
  const cases: [what: string, statements: string[], found: [kind: string, id: number]][] = [
    ['a field was edited', ["UPDATE audit_events SET actor = 'nobody' WHERE id = 7"], ['edited', 7]],
    [
      'the time was edited',
      ["UPDATE audit_events SET at = at - interval '1 us' WHERE id = 7"],
      ['edited', 7],
    ],
    [
      'what was changed was edited',
      [`UPDATE audit_events SET changes = '{"name":{"to":"x"}}' WHERE id = 8`],
      ['edited', 8],
    ],
    ['the first row was edited', ["UPDATE audit_events SET action = 'x.y' WHERE id = 1"], ['edited', 1]],
    [
      'the last row was edited',
      [`UPDATE audit_events SET source = null WHERE id = ${ROWS}`],
      ['edited', ROWS],
    ],
    ['a hash was edited', ["UPDATE audit_events SET hash = sha256('x') WHERE id = 7"], ['edited', 7]],
    ['a row was deleted', ['DELETE FROM audit_events WHERE id = 7'], ['missing', 7]],
    ['the first rows were deleted', ['DELETE FROM audit_events WHERE id < 4'], ['missing', 1]],
    [
      'a row was deleted and the rest moved up',
      ['DELETE FROM audit_events WHERE id = 7', aside(8), renumber(8, -1)],
      ['moved', 7],
    ],
    [
      'a row was put in',
      [
        aside(7),
        renumber(7, 1),
        `INSERT INTO audit_events SELECT 7, at, actor, action, target_kind, target_id, tenant_id, request_id, source,
          changes, outcome, previous_hash, hash FROM kept WHERE id = 7`,
        "UPDATE audit_events SET target_id = 'forged' WHERE id = 7",
      ],
      ['edited', 7],
    ],
    [
      'two rows changed places',
      [
        'UPDATE audit_events SET id = -1 WHERE id = 7',
        'UPDATE audit_events SET id = 7 WHERE id = 11',
        'UPDATE audit_events SET id = 11 WHERE id = -1',
      ],
      ['moved', 7],
    ],
    ['the tail was cut off', ['DELETE FROM audit_events WHERE id > 25'], ['missing', 26]],
    [
      'a row was put at the end',
      [
        `INSERT INTO audit_events SELECT ${ROWS + 1}, at, actor, action, target_kind, target_id, tenant_id, request_id,
        source, changes, outcome, hash, sha256('x') FROM kept WHERE id = ${ROWS}`,
      ],
      ['added', ROWS + 1],
    ],
    ['everything was deleted', ['DELETE FROM audit_events'], ['missing', 1]],
    [
      'the oldest were deleted as if by retention',
      [
        `UPDATE change_counter SET audit_cut_id = 5, audit_cut_hash = (SELECT hash FROM kept WHERE id = 5)`,
        'DELETE FROM audit_events WHERE id <= 5',
      ],
      ['cut', 5],
    ],
  ]
  it.each(cases)('%s', async (_, statements, found) => {
    await tamper(...statements)
    const verification = await verifyDatabase(database, [], systemClock)
    const [first] = verification.findings
    // The first finding is at the place of the change, and its message names it.
    expect([first?.kind, first?.id]).toEqual(found)
    expect(first?.message).toContain(String(found[1]))
  })
})

/** Everything an owner can do: change the row, every hash after it, and the head. */
async function rewriteFrom(id: number): Promise<void> {
  const { rowHash } = await import('../../src/audit/audit-chain.ts')
  const rows = exported.split('\n').map(line => JSON.parse(line))
  rows[id - 1].actor = 'nobody'
  for (const [index, row] of rows.entries()) {
    row.previous_hash = rows[index - 1]?.hash ?? '0'.repeat(64)
    row.hash = rowHash(row)
  }
  const values = rows
    .map(row => `(${row.id}, '${row.actor}', '\\x${row.previous_hash}'::bytea, '\\x${row.hash}'::bytea)`)
    .join()
  await tamper(`UPDATE audit_events SET actor = v.actor, previous_hash = v.previous, hash = v.hash
    FROM (VALUES ${values}) AS v (id, actor, previous, hash) WHERE audit_events.id = v.id`)
  await sql(`UPDATE change_counter SET audit_hash = '\\x${rows.at(-1).hash}'`)
}

const DAY_MS = 86_400_000

/** Deletes the rows up to one, and adds a row as `mintmark audit prune` would. `at` is a time of Postgres. */
async function forgeRetention(id: number, at: string): Promise<void> {
  const [head] = await sql<{ id: string; hash: string; cut: string; at: string }>(
    `SELECT audit_id AS id, encode(audit_hash, 'hex') AS hash,
      (SELECT encode(hash, 'hex') FROM audit_events WHERE id = ${id}) AS cut,
      to_char($1::timestamptz AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS at FROM change_counter`,
    [at],
  )
  if (!head) throw new Error('the change counter has no row')
  const changes = { upTo: { to: id }, hash: { to: head.cut }, rows: { to: id } }
  const event = { action: 'audit.prune', targetKind: 'audit', targetId: 'trail', changes } as const
  const rows = chained({ id: Number(head.id), hash: head.hash }, head.at, { id: 'owner' }, [event])
  await database.write(trx => appendRows(trx, rows))
  await tamper(`DELETE FROM audit_events WHERE id <= ${id}`)
  await sql(`UPDATE change_counter SET audit_cut_id = ${id}, audit_cut_hash = '\\x${head.cut}'`)
}

describe('changes that only a checkpoint reveals, when it is stored elsewhere', () => {
  const headAt = (id: number) =>
    sql(`UPDATE change_counter SET audit_id = ${id}, audit_hash = (SELECT hash FROM kept WHERE id = ${id})`)

  it('a tail that was cut off together with the head', async () => {
    await tamper('DELETE FROM audit_events WHERE id > 25')
    await headAt(25)
    expect((await verifyDatabase(database, [], systemClock)).findings).toEqual([])
    const outcome = await verify('--checkpoint', checkpointFile)
    expect(outcome.code).toBe(3)
    expect(findings(outcome)).toEqual([['missing', 26]])
  })

  it('a trail that was rewritten from a row on', async () => {
    await rewriteFrom(12)
    expect((await verifyDatabase(database, [], systemClock)).findings).toEqual([])
    const { findings } = await verifyDatabase(database, [await openCheckpoint(checkpoint.jws)], systemClock)
    expect(findings).toMatchObject([{ kind: 'rewritten', id: ROWS }])
  })

  it('is also revealed by a checkpoint in the database', async () => {
    await sql('INSERT INTO audit_checkpoints (id, jws) VALUES ($1, $2)', [checkpoint.id, checkpoint.jws])
    await rewriteFrom(12)
    const outcome = await verify()
    await sql('ALTER TABLE audit_checkpoints DISABLE TRIGGER USER')
    await sql('DELETE FROM audit_checkpoints')
    expect(findings(outcome)).toEqual([['rewritten', ROWS]])
  })

  it.each<[string, string, number, object[]]>([
    ['young rows that were deleted with a row that speaks of retention', 'now', 0, [{ kind: 'cut', id: 20 }]],
    ['the same with a row that is dated ahead', '2999-01-01', 0, [{ kind: 'cut', id: 20 }]],
    ['and not what was old enough', 'now', 91, []],
  ])('%s', async (_, at, daysAgo, findings) => {
    await forgeRetention(20, at)
    const [row] = await sql<{ hash: string }>("SELECT encode(hash, 'hex') AS hash FROM kept WHERE id = 10")
    const signed = {
      id: 10,
      hash: row?.hash ?? '',
      at: new Date(Date.now() - daysAgo * DAY_MS).toISOString(),
    }
    expect((await verifyDatabase(database, [], systemClock)).findings).toEqual([])
    expect((await verifyDatabase(database, [signed], systemClock)).findings).toMatchObject(findings)
  })

  it('a trail that was cut beyond the last signed row', async () => {
    await forgeRetention(ROWS, 'now')
    expect((await verify('--checkpoint', checkpointFile)).code).toBe(0)
    await forgeRetention(ROWS + 1, 'now')
    expect(findings(await verify('--checkpoint', checkpointFile))).toEqual([['cut', ROWS + 1]])
  })

  it.each([
    [
      'a checkpoint that was changed',
      (jws: string) => jws.replace(/\.(.)/, (_, first) => `.${first === 'e' ? 'f' : 'e'}`),
    ],
    ['what is no JWS', () => 'nonsense'],
  ])('%s is rejected', async (_, change) => {
    await expect(openCheckpoint(change(checkpoint.jws))).rejects.toThrow()
  })

  it('one that is signed with another key is rejected', async () => {
    const outcome = await run(['audit', 'verify', '--checkpoint', checkpointFile, '--key', 'another'], {
      env: { DATABASE_URL: mintmark.database.applicationUrl },
    })
    expect(outcome.code).toBe(3)
    expect(outcome.stderr).toMatch(/is not trusted/)
  })
})

describe('an export', () => {
  const lines = () => exported.split('\n')
  async function* parsed(all: string[]) {
    for (const line of all) yield JSON.parse(line)
  }
  const found = async (all: string[], checkpoints: SignedHead[] = []) =>
    (await verifyTrail(parsed(all), { checkpoints, now: Date.now() })).findings.map(({ kind, id }) => [
      kind,
      id,
    ])

  it('is verified by the command, with a checkpoint', async () => {
    const file = join(folder, 'export.ndjson')
    await writeFile(file, exported)
    expect(await verify('--file', file, '--checkpoint', checkpointFile)).toMatchObject({ code: 0 })
    await writeFile(file, `${lines()[0]}\n{"id":2`)
    expect(await verify('--file', file)).toMatchObject({ code: 3, stderr: expect.stringContaining('line 2') })
  })
  it('verifies from a later row on', async () => {
    expect(await found(lines().slice(10))).toEqual([])
  })
  it.each<[string, (all: string[]) => string[], [string, number]]>([
    ['an edited line', all => all.with(6, all[6]?.replace('"root"', '"r00t"') ?? ''), ['edited', 7]],
    ['a line that is gone', all => all.toSpliced(6, 1), ['missing', 7]],
    ['a duplicate line', all => all.toSpliced(6, 0, all[5] ?? ''), ['moved', 6]],
    ['lines in another order', all => all.with(6, all[7] ?? '').with(7, all[6] ?? ''), ['missing', 7]],
  ])('names the place of %s', async (_, change, place) => {
    expect(await found(change(lines()))).toContainEqual(place)
  })
  it('reveals a truncated tail with a checkpoint', async () => {
    const cut = lines().slice(0, 25)
    expect(await found(cut)).toEqual([])
    expect(await found(cut, [await openCheckpoint(checkpoint.jws)])).toEqual([['missing', 26]])
  })
})

describe('the table of the trail', () => {
  it.each([
    ['UPDATE', "UPDATE audit_events SET actor = 'x' WHERE id = 1"],
    ['DELETE', 'DELETE FROM audit_events WHERE id = 1'],
    ['TRUNCATE', 'TRUNCATE audit_events'],
    ['UPDATE', "UPDATE audit_checkpoints SET jws = 'x'"],
    ['TRUNCATE', 'TRUNCATE audit_checkpoints'],
  ])('denies its owner %s', async (verb, statement) => {
    await sql('ALTER TABLE audit_checkpoints ENABLE TRIGGER USER')
    await sql('INSERT INTO audit_checkpoints (id, jws) VALUES (1, $1) ON CONFLICT DO NOTHING', ['x'])
    await expect(sql(statement)).rejects.toThrow(`is append-only: ${verb} is refused`)
  })
})
