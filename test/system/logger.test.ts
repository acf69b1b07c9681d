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

  it('has the fields of its logger, then its own, an error by its type and message, and no field without a value', () => {
    const lines: string[] = []
    const logger = createLogger('warn', { write: line => void lines.push(line) })
    logger.info({ a: 1 }, 'not severe enough')
    const err = Object.assign(new TypeError('with "quotes"'), { code: 'E1' })
    logger.child({ process: 2 }).error({ a: 1, b: undefined, err }, 'failed\n')
    logger.fatal({}, 'bare')
    expect(lines).toHaveLength(2)
    expect(lines.every(line => line.indexOf('\n') === line.length - 1)).toBe(true)
    const [first, second] = lines.map(line => JSON.parse(line))
    expect(Object.keys(first)).toEqual(['level', 'time', 'process', 'a', 'err', 'msg'])
    expect(first).toMatchObject({ level: 'error', process: 2, a: 1, msg: 'failed\n' })
    expect(first.err).toMatchObject({ type: 'TypeError', message: 'with "quotes"', code: 'E1' })
    expect(Object.keys(second)).toEqual(['level', 'time', 'msg'])
  })

  it('says why fields are missing that JSON cannot have', () => {
    const lines: string[] = []
    const logger = createLogger('info', { write: line => void lines.push(line) })
    logger.info({ count: 1n }, 'counted')
    expect(JSON.parse(lines[0] ?? '')).toMatchObject({
      unloggable: expect.stringContaining('BigInt'),
      msg: 'counted',
    })
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
})
