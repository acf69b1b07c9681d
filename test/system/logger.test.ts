import { afterEach, describe, expect, it, vi } from 'vitest'
import { createLogger } from '../../src/system/logger.ts'

afterEach(() => void vi.useRealTimers())

const linesAt = (...instants: string[]) => {
  const lines: string[] = []
  const logger = createLogger('info', { write: line => void lines.push(line) })
  for (const instant of instants) {
    vi.setSystemTime(instant)
    logger.info('something')
  }
  return lines.map(line => JSON.parse(line))
}

describe('a log line', () => {
  it('has the time, to the millisecond, in UTC: in one second, in the next, and after a clock that was set back', () => {
    const instants = [
      '2026-11-24T23:59:59.000Z',
      '2026-11-24T23:59:59.007Z',
      '2026-11-24T23:59:59.999Z',
      '2026-11-25T00:00:00.050Z',
      '2026-11-24T22:00:00.500Z',
    ]
    vi.useFakeTimers({ toFake: ['Date'] })
    expect(linesAt(...instants).map(({ time }) => time)).toEqual(instants)
  })

  it('has its level as a word and no credential, wherever one occurs', () => {
    const lines: string[] = []
    const logger = createLogger('info', { write: line => void lines.push(line) })
    logger.warn(
      { url: `/x?key=mmk_${'a'.repeat(16)}_${'b'.repeat(49)}` },
      'eyJhbGciOiJFUzI1NiJ9.eyJ4IjoxfQ.c2ln',
    )
    expect(lines).toHaveLength(1)
    expect(JSON.parse(lines[0] ?? '')).toMatchObject({
      level: 'warn',
      url: '/x?key=[redacted]',
      msg: '[redacted]',
    })
  })

  it.each(['mmk', 'mma', 'mmi', 'mmr'])('has no secret that begins with %s_', kind => {
    const lines: string[] = []
    const logger = createLogger('info', { write: line => void lines.push(line) })
    logger.info(`got ${kind}_${'a'.repeat(16)}_${'b'.repeat(49)}.`)
    expect(JSON.parse(lines[0] ?? '')).toMatchObject({ msg: 'got [redacted].' })
  })
})
