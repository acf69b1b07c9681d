import { randomUUID } from 'node:crypto'
import { request } from 'node:http'
import { setTimeout as sleep } from 'node:timers/promises'
import bcrypt from 'bcrypt'
import { until } from '../support/until.ts'
import { type Experiment, PATIENCE_MS } from './environment/environment.ts'
import { exchangeForm, FORM_HEADERS, type Replica } from './environment/replica.ts'
import { WHY } from './environment/report.ts'

const COST = 12
const SECRET = 'chosen by a person'
const HONEST_ADDRESS = '198.51.100.7'
const TENANT = 'imported'
/** Clients that exchange for the first time during each flood; with --full, and without. */
const CLIENTS = { full: 11, short: 5 }
/** The same right after a restart. */
const LATE_CLIENTS = { full: 5, short: 2 }
const RETRY_MS = 500

interface Flood {
  name: string
  perSecond: number
  /** The client_id and the address of its nth request. */
  request: (n: number) => { clientId: string; address: string }
}

const randomId = () => `unknown-${randomUUID()}`
/** A client that exists and is never proven: its secret is never presented. */
const TARGET = 'target'

const FLOODS: readonly Flood[] = [
  {
    name: '10 random ids a second from one address',
    perSecond: 10,
    request: () => ({ clientId: randomId(), address: '203.0.113.1' }),
  },
  {
    name: '200 random ids a second from one network',
    perSecond: 200,
    request: n => ({ clientId: randomId(), address: `203.0.113.${n % 256}` }),
  },
  {
    name: '100 wrong secrets of one client a second from one network',
    perSecond: 100,
    request: n => ({ clientId: TARGET, address: `203.0.113.${n % 256}` }),
  },
  {
    name: '200 random ids a second from 250 networks',
    perSecond: 200,
    request: n => ({ clientId: randomId(), address: `203.0.${n % 250}.1` }),
  },
  {
    name: '200 random ids a second from one IPv6 network',
    perSecond: 200,
    request: n => ({ clientId: randomId(), address: `2001:db8:1:${(n % 65_536).toString(16)}::1` }),
  },
  {
    name: '200 random ids a second from 250 IPv6 networks',
    perSecond: 200,
    request: n => ({ clientId: randomId(), address: `2001:db8:${(n % 250).toString(16)}::1` }),
  },
]

/**
 * Each flood is sent for as long as honest clients with bcrypt hashes exchange for the first time. Right after a restart, with two
 * processes and with one in turn, they exchange again, and others for the first time.
 */
export const experiment: Experiment = {
  id: 'F31',
  title: 'Floods of wrong imported credentials during honest traffic from another address',
  run: async environment => {
    const { report } = environment
    const postgres = await environment.postgres()
    const env = { MINTMARK_TRUSTED_PROXIES: '127.0.0.0/8' }
    let replica = await environment.replica(postgres.applicationUrl(), env)
    await replica.change('/tenants', { id: TENANT })
    const hash = await bcrypt.hash(SECRET, COST)
    const length = environment.full ? CLIENTS.full : CLIENTS.short
    const clients = FLOODS.map((_, flood) => Array.from({ length }, (_, n) => `honest-${flood}-${n}`))
    const lateLength = environment.full ? LATE_CLIENTS.full : LATE_CLIENTS.short
    const late = FLOODS.map((_, flood) => Array.from({ length: lateLength }, (_, n) => `late-${flood}-${n}`))
    const rows = [TARGET, ...clients.flat(), ...late.flat()].map(client_id => ({
      client_id,
      tenant: TENANT,
      scheme: 'bcrypt',
      hash,
    }))
    await replica.change('/imported-clients', { clients: rows })
    const answered: Honest[] = []
    for (const [index, flood] of FLOODS.entries()) {
      const first: Honest[] = []
      const seen = await during(replica, flood, async () => {
        for (const id of clients[index] ?? []) first.push(await exchangeHonestly(replica, id))
      })
      report.note(`answers to ${flood.name}`, seen)
      reportHonest(report, `first exchanges during ${flood.name}`, first)
      answered.push(...first)
    }
    const proofs = () => postgres.sql('SELECT FROM secret_proofs')
    const isStored = (rows: unknown[]) => rows.length >= clients.flat().length
    await until('their proofs are stored', proofs, isStored, PATIENCE_MS)
    for (const [index, flood] of FLOODS.entries()) {
      await replica.process.kill()
      const processes = index % 2 === 0 ? 2 : 1
      replica = await environment.replica(postgres.applicationUrl(), {
        ...env,
        MINTMARK_PROCESSES: `${processes}`,
      })
      const when = `after a restart (MINTMARK_PROCESSES=${processes}) during ${flood.name}`
      const again: Honest[] = []
      const first: Honest[] = []
      await during(replica, flood, async () => {
        const all = clients.flat().map(id => exchangeHonestly(replica, id))
        for (const id of late[index] ?? []) first.push(await exchangeHonestly(replica, id))
        again.push(...(await Promise.all(all)))
      })
      reportHonest(report, `exchanges ${when}`, again)
      reportHonest(report, `first exchanges ${when}`, first)
      report.measurement(`exchanges ${when}, the slowest`, slowest(again), { atMost: 1_000, unit: 'ms' })
      answered.push(...again, ...first)
    }
    report.measurement(
      'honest exchanges that were 503 at first',
      answered.filter(({ wasBusy }) => wasBusy).length,
      { exactly: 0 },
    )
  },
}

type Report = Parameters<Experiment['run']>[0]['report']

function reportHonest(report: Report, name: string, answers: readonly Answered[]): void {
  const refused = answers.filter(({ status }) => status !== 200).length
  report.invariant(`${name}, other than 200`, refused, { exactly: 0, why: WHY.knownKeys })
}

interface Answered {
  status: number
  ms: number
}
interface Honest extends Answered {
  wasBusy: boolean
}
const slowest = (answers: readonly Answered[]) => Math.max(...answers.map(({ ms }) => ms))

/** Sends the flood until the work is done. Returns its statuses with their counts. */
async function during(replica: Replica, flood: Flood, work: () => Promise<void>): Promise<string> {
  const counts = new Map<number, number>()
  const waiting = new Set<Promise<void>>()
  let sent = 0
  const send = () => {
    const { clientId, address } = flood.request(sent++)
    const answered = exchange(replica, clientId, `wrong ${sent}`, address).then(({ status }) => {
      counts.set(status, (counts.get(status) ?? 0) + 1)
      waiting.delete(answered)
    })
    waiting.add(answered)
  }
  const timer = setInterval(send, 1_000 / flood.perSecond)
  try {
    await sleep(1_000)
    await work()
  } finally {
    clearInterval(timer)
    await Promise.all(waiting)
  }
  const listed = [...counts].sort(([one], [other]) => one - other)
  return listed.map(([status, count]) => `${status}: ${count}`).join(', ')
}

/** Repeated while it is 503, as clients do: on a busy machine a secret may wait for its comparison for too long. */
async function exchangeHonestly(replica: Replica, clientId: string): Promise<Honest> {
  const begin = performance.now()
  let wasBusy = false
  for (;;) {
    const { status } = await exchange(replica, clientId, SECRET, HONEST_ADDRESS)
    const ms = performance.now() - begin
    if (status !== 503 || ms > PATIENCE_MS) return { status, ms, wasBusy }
    wasBusy = true
    await sleep(RETRY_MS)
  }
}

function exchange(replica: Replica, clientId: string, secret: string, address: string): Promise<Answered> {
  const begin = performance.now()
  const headers = { ...FORM_HEADERS, 'x-forwarded-for': address }
  return new Promise(resolve => {
    const end = (status: number) => resolve({ status, ms: performance.now() - begin })
    const sent = request(`${replica.urls.public}/oauth/token`, { method: 'POST', headers }, answer => {
      answer.resume().once('end', () => end(answer.statusCode ?? 0))
    })
    sent.once('error', () => end(0)).end(exchangeForm(secret, { client_id: clientId }))
  })
}
