import { beforeAll, describe, expect, it } from 'vitest'
import { AlarmLog } from '../../src/signing-keys/alarm-log.ts'
import { type Alarm, keyAlarms } from '../../src/signing-keys/alarms.ts'
import { KeyRing, type RingKey } from '../../src/signing-keys/key-ring.ts'
import {
  type GeneratedKey,
  generateSigningKey,
  importPrivateKey,
} from '../../src/signing-keys/signing-key.ts'
import { createLogger } from '../../src/system/logger.ts'
import { adjustableClock } from '../support/adjustable-clock.ts'
import { INTERVAL_MS, key, LEAD_MS, NOW, policy } from './stored-keys.ts'

const made: GeneratedKey[] = []
beforeAll(async () => {
  for (let count = 0; count < 2; count++) made.push(await generateSigningKey('ES256'))
})

async function ringOf(...keys: Parameters<typeof key>[]): Promise<KeyRing> {
  const ringKeys = keys.map(async ([, state, more], index): Promise<RingKey> => {
    const { kid, publicJwk, privateJwk } = made[index] as GeneratedKey
    return { ...key(kid, state, more), publicJwk, privateKey: await importPrivateKey(privateJwk) }
  })
  return KeyRing.of(await Promise.all(ringKeys), policy)
}

describe('an alarm is raised', () => {
  it.each<[string, Parameters<typeof key>[], number, number, string[]]>([
    [
      'for nothing while a standby waits for its turn',
      [
        ['a', 'active'],
        ['s', 'standby'],
      ],
      NOW,
      0,
      [],
    ],
    [
      'for a clock that is 5 s ahead',
      [
        ['a', 'active'],
        ['s', 'standby'],
      ],
      NOW,
      5,
      ['clock'],
    ],
    [
      'not for 4.9 s',
      [
        ['a', 'active'],
        ['s', 'standby'],
      ],
      NOW,
      -4.9,
      [],
    ],
    [
      'for one that is 30 s behind, which stops rotation',
      [
        ['a', 'active'],
        ['s', 'standby'],
      ],
      NOW,
      -30,
      ['clock-stops-rotation'],
    ],
    [
      'when the standby was activated and no other was published for a tenth of the lead',
      [
        ['a', 'active'],
        ['s', 'standby', { activatesAt: NOW }],
      ],
      NOW + LEAD_MS / 10,
      0,
      ['no-successor-ES256'],
    ],
    [
      'not sooner',
      [
        ['a', 'active'],
        ['s', 'standby', { activatesAt: NOW }],
      ],
      NOW + LEAD_MS / 10 - 1,
      0,
      [],
    ],
    ['not for a key that is held', [['a', 'active', { held: true }]], NOW + INTERVAL_MS, 0, []],
  ])('%s', async (_, keys, now, ahead, ids) => {
    expect(keyAlarms(await ringOf(...keys), policy, now, ahead).map(alarm => alarm.id)).toEqual(ids)
  })
})

describe('an alarm is logged', () => {
  it('when it begins, once a minute while it lasts, and when it is over', () => {
    const lines: string[] = []
    const clock = adjustableClock()
    const log = new AlarmLog({
      clock,
      logger: createLogger('info', { write: line => void lines.push(line) }),
    })
    const alarm: Alarm = { id: 'clock', message: 'the clock is wrong', fields: {} }
    for (let second = 0; second < 90; second++) {
      log.log([alarm])
      clock.forward(1)
    }
    log.log([])
    log.log([])
    expect(lines.map(line => JSON.parse(line)).map(({ level, msg }) => [level, msg])).toEqual([
      ['error', 'the clock is wrong'],
      ['error', 'the clock is wrong'],
      ['info', 'alarm resolved'],
    ])
  })
})
