import { readFileSync } from 'node:fs'
import { afterAll, beforeAll, expect, it } from 'vitest'
import type { TestService } from '../support/test-service.ts'
import { until } from '../support/until.ts'
import { logRecords, makeReporter, receiverOf, send } from '../usage/reports.ts'
import { type Collector, noCollector, startCollector } from './collector.ts'
import { startMintmark } from './environment.ts'
import { substitute } from './envoy.ts'
import { type Kafka, noKafka, startKafka } from './kafka.ts'

/** deploy/otel-collector/kafka.yaml with usage.yaml: a Collector between reports, the real receiver and an Apache Kafka. */

const isMissing = noCollector || noKafka
const TOPIC = 'mintmark-usage'
const BATCH = 250
const shipped = readFileSync(new URL('../../deploy/otel-collector/kafka.yaml', import.meta.url), 'utf8')
let mintmark: TestService
let reporter: { id: string; secret: string }
let collector: Collector
let kafka: Kafka
let key: string
let sent = 0
beforeAll(async () => {
  if (isMissing) return
  mintmark = await startMintmark({ MINTMARK_OTLP_HTTP_PORT: '0' })
  key = (await mintmark.tenantWithKey({ id: 'acme' })).keyId
  reporter = await makeReporter(mintmark)
  kafka = await startKafka()
  await kafka.createTopic(TOPIC)
  const additions = substitute(shipped, [['kafka:9092', kafka.address]])
  collector = await startCollector({ url: receiverOf(mintmark), secret: reporter.secret }, [], additions)
}, 120_000)
afterAll(async () => {
  await collector?.stop()
  await kafka?.stop()
  await mintmark?.stop()
})

async function report(batches: number): Promise<void> {
  for (let batch = 0; batch < batches; batch++) {
    const requests = Array.from({ length: BATCH }, () => ({
      ...{ id: `raw-${++sent}`, tenant: 'acme', key, input: 3, output: sent % 50, cached: 1 },
    }))
    await send(`http://127.0.0.1:${collector.httpPort}`, reporter.secret, logRecords(requests))
  }
}

async function totals(of: string) {
  const [row] = await mintmark.database.asOwner(
    `SELECT sum(requests)::int AS requests, sum(input_tokens)::int AS input, sum(output_tokens)::int AS output
     FROM usage_totals WHERE reporter_id = $1`,
    [of],
  )
  return row
}
const isCounted = () =>
  until(
    'all is counted',
    () => totals(reporter.id),
    row => row?.requests === sent,
    60_000,
  )

it.skipIf(isMissing)(
  'Mintmark counts while Kafka is killed, Kafka has every record afterwards, and what it has is a report with the same totals',
  async () => {
    await report(4)
    await isCounted()
    await kafka.kill()
    await report(4)
    await isCounted()
    await collector.kill()
    await collector.start()
    await kafka.start()
    await report(2)
    await isCounted()

    const again = await makeReporter(mintmark)
    const counted = async () => {
      // A message that came twice is counted once.
      for (const message of await kafka.messages(TOPIC)) {
        const { status } = await fetch(`${receiverOf(mintmark)}/v1/logs`, {
          method: 'POST',
          headers: {
            authorization: `Bearer ${again.secret}`,
            'content-type': 'application/x-protobuf',
          },
          body: new Uint8Array(message),
        })
        expect(status).toBe(200)
      }
      return totals(again.id)
    }
    const fromKafka = await until('Kafka has all', counted, row => row?.requests === sent, 120_000)
    expect(fromKafka).toEqual(await totals(reporter.id))
    expect(fromKafka).toMatchObject({ requests: 10 * BATCH, input: 30 * BATCH })
  },
  240_000,
)
