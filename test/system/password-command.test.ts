import { appendFile, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { PasswordCommand } from '../../src/system/password-command.ts'
import { type AdjustableClock, adjustableClock } from '../support/adjustable-clock.ts'
import { until } from '../support/until.ts'

const USE = { host: 'db.example', port: 5432, user: 'mintmark' }
let directory: string
let clock: AdjustableClock
let command: PasswordCommand

const script = (body: string) => writeFile(join(directory, 'print.sh'), body)
/** Prints "1", "2", and so on: which run it was. */
const COUNT = 'echo >> "$1/runs"\necho $(wc -l < "$1/runs")\n'
const runs = async () => (await readFile(join(directory, 'runs'), 'utf8')).length

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'mintmark-command-'))
  await appendFile(join(directory, 'runs'), '')
  await script(COUNT)
  clock = adjustableClock()
  clock.freeze()
  const words = ['/bin/sh', join(directory, 'print.sh'), directory]
  command = new PasswordCommand({ words, environment: process.env, clock })
})
afterEach(() => rm(directory, { recursive: true }))

it('runs once for many connections at the same time, and once for each user', async () => {
  const printed = await Promise.all(Array.from({ length: 50 }, () => command.current(USE)))
  expect(new Set(printed)).toEqual(new Set(['1']))
  expect(await command.current({ ...USE, user: 'owner' })).toBe('2')
})

it('a password is used for 30 s; then it is still used while the command runs again; after 5 minutes it is not', async () => {
  await command.current(USE)
  clock.forward(29)
  expect(await command.current(USE)).toBe('1')
  expect(await runs()).toBe(1)
  clock.forward(2)
  expect(await command.current(USE)).toBe('1')
  await until(
    'the next one is used',
    () => command.current(USE),
    password => password === '2',
  )
  clock.forward(301)
  expect(await command.current(USE)).toBe('3')
})

it('a command that fails meanwhile leaves the password in use for 5 minutes, and is tried once a second', async () => {
  await command.current(USE)
  await script('echo >> "$1/runs"\nexit 1\n')
  clock.forward(60)
  for (let connection = 0; connection < 20; connection++) expect(await command.current(USE)).toBe('1')
  await until('it failed', runs, count => count === 2)
  clock.forward(241)
  await expect(command.current(USE)).rejects.toThrow('ended with status 1')
})

it('a password that the server refuses is replaced at once, and not more than once a second', async () => {
  const first = await command.current(USE)
  clock.forward(2)
  command.refuse(USE, first)
  expect(await command.current(USE)).toBe('2')
  command.refuse(USE, '2')
  for (let connection = 0; connection < 20; connection++) expect(await command.current(USE)).toBe('2')
  expect(await runs()).toBe(2)
  clock.forward(2)
  expect(await command.current(USE)).toBe('3')
})

it('a refusal of an older password leaves the present one', async () => {
  const first = await command.current(USE)
  clock.forward(301)
  expect(await command.current(USE)).toBe('2')
  command.refuse(USE, first)
  clock.forward(10)
  expect(await command.current(USE)).toBe('2')
})

it('a slow command does not hold up a connection for longer than it may wait, and prints for a later one', async () => {
  await script(`sleep 0.5\n${COUNT}`)
  await expect(command.within(100, USE)).rejects.toThrow('has printed no password for 100 ms')
  expect(
    await until(
      'it has printed',
      () => command.within(100, USE).catch(() => ''),
      printed => printed !== '',
    ),
  ).toBe('1')
})
