import { closeSync, constants, mkdtempSync, openSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterEach, describe, expect, it, vi } from 'vitest'
import { LogDestination, type LogLoss } from '../../src/system/log-destination.ts'
import { diskOutput, type FailingOutput, lacksDisks, pipeOutput } from '../support/log-output.ts'
import { type ServiceProcess, startProcessTo } from '../support/service-process.ts'
import { until } from '../support/until.ts'

/** What waits, and what a pipe and its reader take before they are full. */
const MOST_KEPT_BYTES = 1_048_576 + 4 * 65_536
/** Some more than wait and than a pipe or a page of a disk takes. */
const TOO_MANY = 10_000

const ends: (() => unknown)[] = []
afterEach(async () => {
  for (const end of ends.splice(0).reverse()) await end()
})

const lineOf = (number: number) => `${JSON.stringify({ number, pad: 'ü'.repeat(100) })}\n`
const numbersIn = (text: string) =>
  text
    .split('\n')
    .slice(0, -1)
    .map(line => JSON.parse(line).number as number)

function create(output: FailingOutput): FailingOutput {
  ends.push(() => output.remove())
  return output
}

function destinationAt(output: FailingOutput): { destination: LogDestination; losses: LogLoss[] } {
  // As asking for process.stdout makes it.
  const fd = output.open(constants.O_NONBLOCK)
  ends.push(() => closeSync(fd))
  const destination = new LogDestination(fd)
  const losses: LogLoss[] = []
  destination.onRecovery = loss => losses.push(loss)
  return { destination, losses }
}

describe.each([
  ['a pipe that is not read', () => pipeOutput('stalled'), 'EAGAIN'],
  ['a pipe without a reader', () => pipeOutput('gone'), 'EPIPE'],
  ['a full disk', diskOutput, 'ENOSPC'],
])('a log on %s', (what, make, code) => {
  const skipped = what === 'a full disk' && lacksDisks() !== undefined

  it.skipIf(skipped)(
    'drops what finds no room, counts it, and continues by itself with whole lines',
    async () => {
      const output = create(make())
      const { destination, losses } = destinationAt(output)
      destination.write(lineOf(0))
      await until('the first line is written', () => output.text() === lineOf(0))
      output.fail()
      for (let number = 1; number < TOO_MANY; number++) {
        destination.write(lineOf(number))
        // It tries, and fails.
        if (number === TOO_MANY / 2) await destination.flush()
      }
      const { dropped } = destination
      expect(dropped).toBeGreaterThan(TOO_MANY - MOST_KEPT_BYTES / Buffer.byteLength(lineOf(0)))
      output.recover()
      await until('the loss is reported', () => losses.length > 0)
      expect(losses).toEqual([{ lines: dropped, code }])
      destination.write(lineOf(TOO_MANY))
      await until('the next line is written', () => output.text().endsWith(lineOf(TOO_MANY)))
      const numbers = numbersIn(output.text())
      expect(numbers).toEqual([...numbers].sort((a, b) => a - b))
      expect(numbers.length + dropped).toBe(TOO_MANY + 1)
    },
  )

  it.skipIf(skipped)('loses nothing that finds room', async () => {
    const output = create(make())
    const { destination, losses } = destinationAt(output)
    output.fail()
    for (let number = 0; number < 1_000; number++) destination.write(lineOf(number))
    // It waits for room for 300 ms and no longer, by a clock that jumps.
    const now = vi.spyOn(performance, 'now').mockReturnValue(0)
    ends.push(() => now.mockRestore())
    let isOver = false
    const flushed = destination.flush().then(() => {
      isOver = true
    })
    now.mockReturnValue(299)
    await sleep(50)
    expect(isOver).toBe(false)
    now.mockReturnValue(300)
    await flushed
    now.mockRestore()
    output.recover()
    await until('all is written', () => numbersIn(output.text()).length === 1_000)
    expect([destination.dropped, losses]).toEqual([0, []])
  })
})

it('shared with other processes, writes whole lines that a pipe takes at once', async () => {
  const output = create(pipeOutput('stalled'))
  const destinations = [destinationAt(output), destinationAt(output)].map(({ destination }) => destination)
  for (const destination of destinations) destination.share()
  for (let number = 0; number < 2_000; number++) destinations[number % 2]?.write(lineOf(number))
  await until('all is written', () => output.text().split('\n').length === 2_001)
  expect(numbersIn(output.text()).toSorted((a, b) => a - b)).toEqual(
    Array.from({ length: 2_000 }, (_, n) => n),
  )
})

it.each([
  ['an empty line', '\n'],
  ['a line', lineOf(1)],
  ['a thousand lines', lineOf(1).repeat(1_000)],
])('flush resolves once %s is written, to the last byte', async (_, text) => {
  const folder = mkdtempSync(join(tmpdir(), 'mintmark-log-'))
  const file = join(folder, 'log')
  const fd = openSync(file, 'a')
  ends.push(() => {
    closeSync(fd)
    rmSync(folder, { recursive: true })
  })
  const destination = new LogDestination(fd)
  destination.write(text)
  await destination.flush()
  expect(readFileSync(file, 'utf8')).toBe(text)
})

describe('at its end', () => {
  const script = (end: string) => `
    const { createLogger } = await import('./src/system/logger.ts')
    const logger = createLogger('info')
    for (let number = 0; number < 1_000; number++) logger.info({ number, pad: 'x'.repeat(200) }, 'line')
    ${end}`
  const start = (output: FailingOutput, end: string): ServiceProcess => {
    const process = startProcessTo(output, {}, '--input-type=module', '-e', script(end))
    ends.push(() => process.kill())
    return process
  }
  const LAST: [string, string, number][] = [
    ['that exits', 'process.exit(0)', 0],
    ['that throws', "throw new Error('for this test')", 1],
    ['that has nothing left to do', '', 0],
  ]

  it.each(LAST)('a process %s has written its last lines', async (_, end, code) => {
    const output = create(pipeOutput('gone'))
    const process = start(output, end)
    expect(await process.exited).toMatchObject({ code, signal: null })
    expect(
      await until(
        'the lines',
        () => process.logged('line').length,
        count => count === 1_000,
      ),
    ).toBe(1_000)
  })

  describe.each([
    ['stalls', 'stalled'],
    ['is gone', 'gone'],
  ] as const)('a process whose reader %s', (_, how) => {
    it.each(LAST)('ends by itself: one %s', async (_, end, code) => {
      const output = create(pipeOutput(how))
      const process = start(output, end)
      output.fail()
      expect(await process.exited).toMatchObject({ code, signal: null })
    })
  })

  it('a process whose disk is full ends by itself', async () => {
    const full = { ...pipeOutput('gone'), open: () => openSync('/dev/full', 'a') }
    expect(await start(create(full), '').exited).toMatchObject({ code: 0, signal: null })
  })
})
