import { existsSync, globSync, readFileSync } from 'node:fs'
import { dirname, join, relative } from 'node:path'
import { describe, expect, it } from 'vitest'
import { repository } from './support/readme.ts'

const pages = globSync('**/*.md', { cwd: repository, exclude: name => name.endsWith('node_modules') }).sort()
const textOf = (page: string) => readFileSync(join(repository, page), 'utf8')

/** Code contains no links and no headings. */
const withoutFences = (text: string) => text.replaceAll(/^ *```[\s\S]*?^ *```$/gm, '')

interface Link {
  /** From the root of the repository. */
  path: string
  anchor: string | undefined
}

function relativeLinks(page: string): Link[] {
  const found = withoutFences(textOf(page)).matchAll(/\]\((?![a-z]+:)([^)#\s]*)(?:#([^)\s]*))?\)/g)
  return [...found].map(([, target = '', anchor]) => ({
    path: target === '' ? page : join(dirname(page), target),
    anchor,
  }))
}

/** The anchors that GitHub gives the headings of a page. */
function anchorsOf(page: string): string[] {
  const headings = [...withoutFences(textOf(page)).matchAll(/^#{1,6} (.*)$/gm)]
  return headings.map(([, heading = '']) =>
    heading
      .replaceAll(/\[([^\]]*)\]\([^)]*\)/g, '$1')
      .toLowerCase()
      .replaceAll(/[^\p{L}\p{N}\- _]/gu, '')
      .replaceAll(' ', '-'),
  )
}

describe('the documentation', () => {
  it('is found', () => {
    expect(pages).toEqual(expect.arrayContaining(['README.md', 'db/README.md', 'docs/guides/envoy.md']))
    expect(pages.flatMap(relativeLinks).length).toBeGreaterThan(100)
    expect(anchorsOf('docs/guides/observability.md')).toContain('alerts')
  })

  it.each(pages)('%s links to files and headings that exist', page => {
    const broken = relativeLinks(page).filter(({ path, anchor }) => {
      if (!existsSync(join(repository, path))) return true
      return anchor !== undefined && path.endsWith('.md') && !anchorsOf(path).includes(anchor)
    })
    expect(broken).toEqual([])
  })

  it('has an index, docs/README.md, that links to every file below docs', () => {
    const linked = relativeLinks('docs/README.md').map(({ path }) => relative('docs', path))
    const files = globSync('docs/**/*.*', { cwd: repository })
      .map(file => relative('docs', file))
      .filter(file => !file.startsWith('images/'))
    const missing = files.filter(
      file => file !== 'README.md' && !linked.includes(file) && !linked.includes(`${dirname(file)}`),
    )
    expect(files.length).toBeGreaterThan(30)
    expect(missing).toEqual([])
  })

  it.each(pages.filter(page => page.startsWith('docs/decisions/')))(
    '%s has the format of a decision',
    page => {
      const text = textOf(page)
      const [, number] = /\/(\d{4})-/.exec(page) ?? []
      expect(text).toMatch(
        new RegExp(
          `^# ${number} .+\n\nStatus: (accepted|superseded|amended)\\b.*\nDate: 20\\d\\d-\\d\\d-\\d\\d\n`,
        ),
      )
      for (const heading of ['## Context', '## Decision', '## Consequences', '## Alternatives'])
        expect(text).toContain(`\n${heading}`)
    },
  )
})
