import { beforeEach, expect, it } from 'vitest'
import { delimitedField, eachField, numberField } from '../../src/http/protobuf.ts'
import { createLogger } from '../../src/system/logger.ts'
import { FILTER_NAME } from '../../src/xds/deny-filter.ts'
import { type DiscoveryRequest, EXTENSION_CONFIG, readRequest } from '../../src/xds/discovery-messages.ts'
import { DiscoveryStream, type RevocationSource } from '../../src/xds/discovery-stream.ts'

let source: RevocationSource & { revision: number; seenUntil: number | undefined }
/** The revision of the newest list, where the source does not send each. */
let newest: number
let sent: { version: string; nonce: string }[]
let logs: string[]
let stream: DiscoveryStream
let time = 0
let rejections = 0
beforeEach(() => {
  newest = 1
  source = {
    ...{ revision: 1, seenUntil: 1_000, filter: Buffer.alloc(0), entries: [] },
    isNewest: revision => revision === newest,
  }
  sent = []
  logs = []
  rejections = 0
  const send = (message: Buffer) => {
    const fields: Record<number, string> = {}
    eachField(message, { fields: 100 }, (field, value) => {
      fields[field] = String(value)
    })
    sent.push({ version: fields[1] ?? '', nonce: fields[5] ?? '' })
  }
  stream = new DiscoveryStream({
    source,
    send,
    logger: createLogger('info', { write: line => void logs.push(line) }),
    monotonicMs: () => time,
    now: () => 1_000_000 + time,
    gateway: 'inference',
    onRejection: () => rejections++,
  })
})

const asking = (more: Partial<DiscoveryRequest> = {}): DiscoveryRequest => ({
  version: '',
  node: {
    id: 'envoy',
    cluster: 'inference',
    envoyVersion: '1.40.0',
    contract: '1',
    enforces: ['revocations'],
  },
  names: [FILTER_NAME],
  typeUrl: EXTENSION_CONFIG,
  nonce: '',
  error: undefined,
  ...more,
})
const versions = () => sent.map(({ version }) => version)
const answer = (more: Partial<DiscoveryRequest> = {}) => {
  const last = sent.at(-1)
  stream.receive(asking({ version: last?.version ?? '', nonce: last?.nonce ?? '', ...more }))
}

it('warns once of a gateway whose version is from the future, and of one that does not answer', () => {
  const late = () => logs.filter(line => line.includes('lacks the current list')).length
  stream.receive(asking({ version: '9000' }))
  time += 4_999
  stream.push()
  expect([versions(), late()]).toEqual([[], 0])
  time += 1
  stream.push()
  stream.push()
  expect([versions(), late()]).toEqual([[], 1])
  source.seenUntil = 9_001
  stream.push()
  expect(versions()).toEqual(['9001'])
})

it('sends nothing that was not requested, and the list once', () => {
  stream.push()
  expect(versions()).toEqual([])
  stream.receive(asking())
  answer()
  source.seenUntil = 2_000
  stream.push()
  expect(versions()).toEqual(['1000'])
})

it('sends a changed list with a higher version, once the last one was answered', () => {
  stream.receive(asking())
  source.revision = 2
  source.seenUntil = 2_000
  stream.push()
  expect(versions()).toEqual(['1000'])
  answer()
  expect(versions()).toEqual(['1000', '2000'])
})

it('sends nothing before this replica has read everything', () => {
  source.seenUntil = undefined
  stream.receive(asking())
  expect(versions()).toEqual([])
  source.seenUntil = 1_000
  stream.push()
  expect(versions()).toEqual(['1000'])
})

it('sends nothing older than what the gateway has from another replica, and no version twice', () => {
  stream.receive(asking({ version: '5000' }))
  for (const seenUntil of [4_999, 5_000]) {
    source.seenUntil = seenUntil
    stream.push()
  }
  expect(versions()).toEqual([])
  source.seenUntil = 5_001.5
  stream.push()
  expect(versions()).toEqual(['5001'])
  answer()
  source.revision = 2
  stream.push()
  expect(versions()).toEqual(['5001'])
})

it('logs that a gateway rejected the list, and does not send the same again', () => {
  stream.receive(asking())
  answer({ error: 'no such filter' })
  source.seenUntil = 3_000
  stream.push()
  expect(versions()).toEqual(['1000'])
  expect(logs.join()).toContain('no such filter')
  expect(rejections).toBe(1)
  expect(stream.rejection).toEqual({ reason: 'no such filter', at: 1_000_000 + time })
  expect([stream.acknowledged, stream.behindMs]).toEqual([undefined, 0])
  time += 70
  expect(stream.behindMs).toBe(70)
  source.revision = 2
  stream.push()
  answer()
  expect([stream.rejection, stream.acknowledged?.version]).toEqual([undefined, '3000'])
})

it.each([
  ['no message', numberField(1, 3), 'rejected'],
  ['an empty one', Buffer.concat([numberField(1, 3), delimitedField(2, '')]), ''],
])('takes an error with %s for a rejection too', (_, status, reason) => {
  stream.receive(asking())
  const request = Buffer.concat([
    delimitedField(3, FILTER_NAME),
    delimitedField(5, sent[0]?.nonce ?? ''),
    delimitedField(6, status),
  ])
  stream.receive(readRequest(request))
  expect([stream.rejection?.reason, stream.acknowledged]).toEqual([reason, undefined])
})

it('knows what a gateway has acknowledged, and since when it lacks the current list', () => {
  stream.receive(asking())
  expect([stream.acknowledged, stream.behindSince]).toEqual([undefined, 1_000_000 + time])
  answer()
  expect([stream.acknowledged?.version, stream.behindSince]).toEqual(['1000', undefined])
  time += 500
  source.revision = 2
  stream.push()
  time += 30
  expect([stream.acknowledged?.version, stream.behindMs]).toEqual(['1000', 30])
  source.seenUntil = 2_000
  stream.push()
  answer()
  expect([stream.acknowledged?.version, stream.behindMs]).toEqual(['2000', 0])
})

it('is behind since it was sent a list, if another one was made meanwhile', () => {
  stream.receive(asking())
  source.revision = 2
  time += 40
  answer()
  expect([stream.acknowledged?.version, stream.behindMs]).toEqual(['1000', 40])
})

it.each([
  ['another resource', { names: ['other'] }],
  ['another type', { typeUrl: 'type.googleapis.com/envoy.config.listener.v3.Listener' }],
])('ends a stream that requests %s', (_, more) => {
  expect(stream.receive(asking(more))).toEqual(expect.any(String))
  expect(versions()).toEqual([])
})

it('has what its replica has seen for as long as its list is the newest', () => {
  stream.receive(asking())
  answer()
  expect(stream.acknowledged).toEqual({ version: '1000' })
  // A revocation at 1,500 arrives with a read that began at 1,400.
  source.revision = newest = 2
  source.seenUntil = 1_400
  stream.push()
  answer()
  expect(stream.acknowledged).toEqual({ version: '1400' })
  source.seenUntil = 1_650.7
  stream.push()
  expect([stream.acknowledged, sent.length]).toEqual([{ version: '1650' }, 2])
  // A newer list waits to be sent.
  newest = 3
  source.seenUntil = 1_900
  expect(stream.acknowledged).toEqual({ version: '1400' })
  source.seenUntil = undefined
  newest = 2
  expect(stream.acknowledged).toEqual({ version: '1400' })
})
