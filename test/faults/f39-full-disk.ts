import { execFileSync } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { lacksDisks } from '../support/log-output.ts'
import { timed, until } from '../support/until.ts'
import { type Environment, type Experiment, PATIENCE_MS } from './environment/environment.ts'
import { TENANT } from './environment/known-keys.ts'
import type { Postgres } from './environment/postgres.ts'
import type { Replica } from './environment/replica.ts'
import { WHY } from './environment/report.ts'
import { underLoad } from './environment/under-load.ts'

const SHORT_MS = 1_500
const WRITES = 10
const ROOM_KIB = 64
const ROWS = 8

/** The disk of Postgres is full, so that it cannot store another row, and later is not. */
export const experiment: Experiment = {
  id: 'F39',
  title: 'The disk of Postgres is full',
  lacks: lacksDisks,
  run: async environment => {
    const { report } = environment
    const disk = mountDisk(environment)
    const postgres = await environment.postgres({ hosts: ['127.0.0.1'], folder: disk.path })
    await underLoad(environment, { postgres, usually: { p99: 50 } }, async ({ replica, changes }) => {
      await fill(postgres, disk)
      const refused = []
      for (let count = 0; count < WRITES; count++) {
        refused.push(await replica.admin('POST', `/tenants/${TENANT}/keys`, { name: 'x'.repeat(100) }))
      }
      await sleep(environment.full ? environment.outageMs : SHORT_MS)
      disk.resize('512m')
      const { ms } = await timed(() => acceptsChanges(replica))
      await changes(3)

      report.invariant('changes while it is full', refused.filter(({ status }) => status !== 201).length, {
        atLeast: 1,
        why: WHY.carriedOut,
      })
      const dishonest = refused.filter(
        ({ status, headers }) => status !== 201 && !(status === 503 && headers['retry-after']),
      )
      report.invariant('of them other than 503 with Retry-After', dishonest.length, {
        exactly: 0,
        why: WHY.honest,
      })
      report.promise('changes are accepted again after', ms, {
        usually: 5_000,
        atMost: PATIENCE_MS,
        unit: 'ms',
        why: WHY.recovers,
      })
    })
  },
}

interface Disk {
  path: string
  resize(size: string): void
}

function mountDisk(environment: Environment): Disk {
  const path = mkdtempSync(join(tmpdir(), 'mintmark-disk-'))
  execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=512m', 'mintmark', path])
  environment.onEnd(() => {
    execFileSync('umount', ['--lazy', path])
    rmSync(path, { recursive: true })
  })
  return { path, resize: size => void execFileSync('mount', ['-o', `remount,size=${size}`, path]) }
}

/** Leaves no room for another page. */
async function fill(postgres: Postgres, { path, resize }: Disk): Promise<void> {
  const add = (rows: number) =>
    postgres.sql(`INSERT INTO filler SELECT repeat('x', 1000) FROM generate_series(1, ${rows})`)
  await postgres.sql('CREATE TABLE filler (text text)')
  // A change that fits into pages of the tables is still stored: the rows of a change have to be new pages.
  await postgres.sql('VACUUM FULL')
  const usedKiB = Number(execFileSync('du', ['-sk', path]).toString().split('\t')[0])
  resize(`${usedKiB + ROOM_KIB}k`)
  const result = () => add(ROWS).then(() => '', String)
  await until('a row does not fit any more', result, text => text.includes('No space left'), PATIENCE_MS)
}

const acceptsChanges = (replica: Replica) =>
  until(
    'a change is accepted',
    () => replica.admin('POST', `/tenants/${TENANT}/keys`, {}),
    ({ status }) => status === 201,
    PATIENCE_MS,
  )
