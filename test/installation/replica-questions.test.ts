import { randomBytes, randomUUID } from 'node:crypto'
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest'
import { MESSAGE_CHANNEL } from '../../src/database/change-feed.ts'
import { CurrentClient } from '../../src/database/current-client.ts'
import { Database } from '../../src/database/database.ts'
import { ReplicaQuestions } from '../../src/installation/replica-questions.ts'
import { type Clock, systemClock } from '../../src/system/clock.ts'
import { createLogger } from '../../src/system/logger.ts'
import { systemRandom } from '../../src/system/random.ts'
import { Secret } from '../../src/system/secret.ts'
import { adjustableClock } from '../support/adjustable-clock.ts'
import { PATIENT } from '../support/patient.ts'
import { startReplica, startTwoReplicas, type TwoReplicas } from '../support/replicas.ts'
import { startTestService, type TestService } from '../support/test-service.ts'
import { until } from '../support/until.ts'

/** What one replica refused is explained by another. */
let replicas: TwoReplicas
let one: TestService
let other: TestService
let revoked: Awaited<ReturnType<TestService['tenantWithKey']>>
beforeAll(async () => {
  replicas = await startTwoReplicas()
  ;({ mintmark: one, other } = replicas)
  revoked = await one.tenantWithKey({ id: 'acme' })
  await one.admin('POST', `/keys/${revoked.keyId}/revoke`, { reason: 'leaked' })
  await until('the other has read the revocation', async () => (await exchange(other)).status === 401)
  await explainedByBoth({ request_id: randomUUID() })
})
afterAll(() => replicas.stop())

const explained = async (given: object, at = one) => (await at.admin('POST', '/explain', given)).body
/** A replica that is slow is left out of an answer, which says so. */
const explainedByBoth = (given: object) =>
  until(
    'both have answered',
    () => explained(given),
    answer => answer.other_replicas?.answered === 1,
  )
const exchange = (at: TestService) =>
  at.token({ grant_type: 'client_credentials', client_secret: revoked.secret })
/** The key is looked up in Postgres, which is 503 while that is slow. */
const refusedBy = async (at: TestService) => {
  const refused = await until(
    'the key is refused',
    () => exchange(at),
    ({ status }) => status === 401,
  )
  return refused.headers.get('x-request-id') ?? ''
}

describe('a refusal', () => {
  it('is explained by each replica, whichever refused', async () => {
    const id = await refusedBy(other)
    const answers = [await explainedByBoth({ request_id: id }), await explained({ request_id: id }, other)]
    const own = {
      reason: 'key_revoked',
      recent_refusals: [{ request_id: id, key: revoked.keyId, status: 401 }],
    }
    expect(answers).toMatchObject([
      { ...own, other_replicas: { running: 1, answered: 1 } },
      { ...own, other_replicas: null },
    ])
  })

  it('of a key is in one list, the newest first, from all replicas', async () => {
    const ids: string[] = []
    for (const at of [one, other, one]) {
      // The order of two in one millisecond is undefined.
      const last = Date.now()
      await until('a millisecond has passed', () => Date.now() > last)
      ids.push(await refusedBy(at))
    }
    const { recent_refusals: refusals } = await explainedByBoth({ key: revoked.keyId })
    const shown = refusals.map((each: { request_id: string }) => each.request_id)
    expect(shown.slice(0, 3)).toEqual(ids.toReversed())
  })

  it('of another tenant is shown to no tenant-admin', async () => {
    const id = await refusedBy(other)
    await one.admin('POST', '/tenants', { id: 'blue' })
    const { body } = await one.admin('POST', '/admin-tokens', {
      name: 'b',
      role: 'tenant-admin',
      tenant: 'blue',
    })
    const answer = await fetch(`${one.service.urls.admin}/admin/v1/explain`, {
      method: 'POST',
      headers: { authorization: `Bearer ${body.secret}`, 'content-type': 'application/json' },
      body: JSON.stringify({ request_id: id }),
    })
    expect(await answer.json()).toMatchObject({ reason: null, recent_refusals: [] })
  })

  it('is in no message that the database can read, and a forged message has no effect', async () => {
    const client = new CurrentClient({ url: () => one.database.applicationUrl }, {})
    onTestFinished(() => client.end())
    await client.connect()
    const messages: string[] = []
    client.on('notification', ({ payload = '' }) => messages.push(payload))
    await client.query(`LISTEN ${MESSAGE_CHANNEL}`)
    const id = await refusedBy(other)
    await explainedByBoth({ request_id: id })
    await until(
      'the question and its answer were sent',
      () => messages.length,
      count => count >= 2,
    )
    const sent = (kind: string) => messages.find(each => each.startsWith(kind)) ?? ''
    const [question, answer] = [sent('question'), sent('answer')]
    expect(messages.join(' ')).not.toMatch(new RegExp(`${id}|${revoked.keyId}|key_revoked`))

    // The same question again is answered once more, in a message that only Mintmark reads.
    const forged = [
      question.replace(/:[^:]+$/, `:${randomBytes(80).toString('base64url')}`),
      question.replace(/^question/, 'answer'),
      answer.replace(/^answer/, 'question'),
      'question',
      'answer:',
      'x'.repeat(7_000),
    ]
    messages.length = 0
    for (const message of forged) await client.query('SELECT pg_notify($1, $2)', [MESSAGE_CHANNEL, message])
    const last = await refusedBy(other)
    let asked = 0
    const explainedOnce = async () => {
      asked++
      return (await explained({ request_id: last })).reason
    }
    await until('it is explained', explainedOnce, reason => reason === 'key_revoked')
    // The questions after them and their answers; the connection of this test may receive them later than the replica.
    const others = () => messages.filter(each => !forged.includes(each)).length
    await until('they were received', others, count => count >= 2 * asked)
    expect(others()).toBe(2 * asked)
  })
})

describe('a replica that does not answer', () => {
  it('is counted, and the rest is explained', async () => {
    await replicas.proxy.become('hang')
    expect((await explained({ request_id: randomUUID() })).other_replicas).toEqual({
      running: 1,
      answered: 0,
    })
    await replicas.proxy.become('none')
    await until(
      'it answers again',
      async () => (await explained({ request_id: randomUUID() })).other_replicas.answered === 1,
    )
  })

  it('is none while an encryption key is being added', async () => {
    const keys = `${one.environment.MINTMARK_ENCRYPTION_KEYS},n2:${randomBytes(32).toString('base64url')}`
    const third = await startReplica(one, { MINTMARK_ENCRYPTION_KEYS: keys })
    await until(
      'three run',
      async () => (await explained({ request_id: randomUUID() }, third)).other_replicas,
      ({ running, answered }) => running === 2 && answered === 2,
    )
    await third.stop()
  })
})

describe('a question', () => {
  /** The answer may take as long as it does on a busy machine. */
  const slowSleep: Clock['sleep'] = (ms, signal) => systemClock.sleep(30 * ms, signal)

  /** Two that ask and answer, with an encryption key of their own: the replicas of this file neither answer nor receive them. */
  async function twoWith(answer: () => unknown[], sleep: Clock['sleep'] = slowSleep) {
    const url = one.database.applicationUrl
    const logger = createLogger('silent')
    const database = new Database({ url, maxConnections: 2, logger, timeouts: PATIENT })
    const listener = new CurrentClient({ url: () => url }, {})
    onTestFinished(async () => {
      await listener.end()
      await database.close()
    })
    const clock = { ...adjustableClock(), sleep }
    clock.freeze()
    const encryptionKeys = [{ id: 'x', key: new Secret(randomBytes(32)) }]
    const countOthers = async () => 1
    const shared = { database, clock, random: systemRandom, encryptionKeys, countOthers, answer }
    const [asking, answering] = [new ReplicaQuestions(shared), new ReplicaQuestions(shared)]
    await listener.connect()
    const question = new Promise<string>(resolve => {
      listener.on('notification', ({ payload = '' }) => {
        asking.heard(payload)
        if (/^question:[^:]+:x:/.test(payload)) resolve(payload)
      })
    })
    await listener.query(`LISTEN ${MESSAGE_CHANNEL}`)
    return { clock, asking, answering, question }
  }

  it('that someone in the database repeats is answered fifty times a second at most', async () => {
    let answered = 0
    const { clock, asking, answering, question } = await twoWith(() => {
      answered++
      return []
    })
    const asked = asking.ask({ key: 'key_0' })
    const repeated = await question
    for (let times = 0; times < 60; times++) answering.heard(repeated)
    expect(answered).toBe(50)
    clock.forward(1)
    answering.heard(repeated)
    expect(answered).toBe(51)
    // Further answers may have come before this one was looked at.
    const seen = await asked
    expect(seen?.running).toBe(1)
    expect(seen?.answers[0]).toEqual([])
  })

  it('waits for an answer for a second', async () => {
    const over = Promise.withResolvers<void>()
    const limits: number[] = []
    const { asking, question } = await twoWith(
      () => [],
      ms => {
        limits.push(ms)
        return over.promise
      },
    )
    const asked = asking.ask({ key: 'key_0' })
    await question
    await until('it waits', () => limits.length)
    over.resolve()
    expect(await asked).toEqual({ running: 1, answers: [] })
    expect(limits).toEqual([1_000])
  })

  it('is answered with the first of what is too long for one message', async () => {
    const found = Array.from({ length: 100 }, (_, at) => `${at} ${'x'.repeat(200)}`)
    const { asking, answering, question } = await twoWith(() => found)
    const asked = asking.ask({ key: 'key_0' })
    answering.heard(await question)
    const [answer] = ((await asked)?.answers ?? []) as string[][]
    expect(answer).toEqual(found.slice(0, answer?.length))
    expect(answer?.length).toBeGreaterThan(10)
  })
})

it('a single replica asks nobody', async () => {
  const service = await startTestService()
  expect((await explained({ request_id: randomUUID() }, service)).other_replicas).toEqual({
    running: 0,
    answered: 0,
  })
  await service.stop()
})
