import { readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'

const read = (path: string) => readFileSync(new URL(`../${path}`, import.meta.url), 'utf8')

describe('the licence', () => {
  it.each(['LICENSE', 'clients/typescript/LICENSE', 'clients/python/LICENSE'])('is complete in %s', path => {
    expect(read(path)).toMatch(/^\s+Apache License\n\s+Version 2\.0, January 2004\n/)
    expect(read(path)).toContain('END OF TERMS AND CONDITIONS')
    expect(read(path)).toBe(read('LICENSE'))
  })

  it.each(['package.json', 'clients/typescript/package.json'])('is named in %s', path => {
    expect(JSON.parse(read(path)).license).toBe('Apache-2.0')
  })

  it('is named in clients/python/pyproject.toml, and included in the wheel', () => {
    expect(read('clients/python/pyproject.toml')).toMatch(
      /^license = "Apache-2\.0"\nlicense-files = \["LICENSE"\]$/m,
    )
  })
})
