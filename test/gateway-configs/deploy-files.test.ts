import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { dirname, join, relative } from 'node:path'
import { expect, it } from 'vitest'
import { deployFiles } from '../../deploy/generate/deploy-files.ts'
import { CONTRACT_NUMBER } from '../../src/gateway/headers.ts'
import { NAMED_TESTS } from './contract-table.ts'

const root = new URL('../../', import.meta.url)
const generated = deployFiles()

it.each(Object.keys(generated))('%s is the output of deploy/generate/ (npm run generate)', path => {
  expect(readFileSync(new URL(path, root), 'utf8')).toBe(generated[path])
})

it.each([
  'deploy/agentgateway',
  'deploy/envoy',
  'deploy/envoy-gateway',
  'deploy/istio',
  'deploy/nginx',
  'deploy/caddy',
  'deploy/haproxy',
])('no other file is in %s', folder => {
  const files = readdirSync(new URL(`${folder}/`, root), { recursive: true, withFileTypes: true })
    .filter(entry => entry.isFile())
    .map(({ parentPath, name }) => relative(root.pathname, join(parentPath, name)))
  expect(files.toSorted()).toEqual(
    Object.keys(generated)
      .filter(path => path.startsWith(`${folder}/`))
      .toSorted(),
  )
})

it.each(['envoy-limits.yaml', 'envoy-request-limits.yaml'])(
  '%s adds lines to envoy-api-keys-grpc.yaml, whose tests it shares, and takes none away',
  name => {
    const linesOf = (file: string) => (generated[`deploy/envoy/${file}`] ?? '').split('\n')
    const longer = linesOf(name)
    let at = 0
    const missing = linesOf('envoy-api-keys-grpc.yaml')
      .filter(line => !line.startsWith('# Oldest Envoy'))
      .find(line => {
        const place = longer.indexOf(line, at)
        at = place + 1
        return place < 0
      })
    expect(missing).toBeUndefined()
  },
)

it('every file of a gateway has the contract number in its first lines', () => {
  for (const [path, text] of Object.entries(generated)) {
    if (path.startsWith('deploy/helm/')) continue
    const place = text.split('\n').findIndex(line => line.endsWith(`Contract number: ${CONTRACT_NUMBER}.`))
    expect({ path, place: place >= 0 && place < 6 }).toEqual({ path, place: true })
  }
})

/** Where the tests are that the guides name. */
const CONTRACT_TESTS = [
  ...[
    'check-contract.ts',
    'honest-clients.ts',
    'idle-connections.ts',
    'media.ts',
    'leaving-clients.ts',
    'malformed-requests.ts',
    'slow-mintmark.ts',
    'steering-fields.ts',
    'over-http2.ts',
  ],
  ...['caddy.test.ts', 'haproxy.test.ts', 'nginx.test.ts'],
].map(name => readFileSync(new URL(name, import.meta.url), 'utf8'))
const isTitle = (title: string) =>
  CONTRACT_TESTS.some(text => ["'", '`', '"'].some(quote => text.includes(quote + title + quote)))

it.each(NAMED_TESTS)('a test has the title that the tables of the guides name: %s', title => {
  expect(isTitle(title)).toBe(true)
})

it.each([
  ['envoy', 'What happens to a request'],
  ['envoy-gateway', 'What happens to a request'],
  ['istio', 'API keys as well'],
  ['nginx', 'What happens to a request'],
  ['haproxy', 'What happens to a request'],
  ['caddy', 'What happens to a request'],
])('each row of what happens to a request names its test: %s', (guide, heading) => {
  const text = readFileSync(new URL(`docs/guides/${guide}.md`, root), 'utf8')
  const section = text.split(/^## /m).find(each => each.startsWith(`${heading}\n`)) ?? ''
  const [table = ''] = section.slice(section.indexOf('\n|') + 1).split('\n\n')
  const [, , ...rows] = table.split('\n').map(row => row.split('|').slice(1, -1))
  expect(rows.length).toBeGreaterThan(5)
  for (const cells of rows) {
    expect(cells).toHaveLength(3)
    const named = (cells[2] ?? '').split(/[;,] (?=`)|; /).map(each => each.trim())
    for (const name of named) {
      const file = /^`([-\w]+\.test\.ts)`$/.exec(name)?.[1]
      expect({ name, exists: file ? existsSync(new URL(file, import.meta.url)) : isTitle(name) }).toEqual({
        ...{ name, exists: true },
      })
    }
  }
})

it('every template is used', () => {
  const folder = new URL('deploy/generate/', root).pathname
  const files = readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter(entry => entry.isFile() && entry.name !== 'README.md')
    .map(({ parentPath, name }) => relative(folder, join(parentPath, name)))
  const rendered = (name: string) =>
    name.endsWith('.ts')
      ? [...textOf(name).matchAll(/'([-\w]+\/[-\w/.]+)'/g)].map(([, path = '']) => path)
      : [...textOf(name).matchAll(/\{\{> (\S+)\}\}/g)].map(([, path = '']) => join(dirname(name), path))
  const textOf = (name: string) => readFileSync(join(folder, name), 'utf8')
  const used = new Set(files.flatMap(rendered))
  const templates = files.filter(name => !name.endsWith('.ts'))
  expect(templates.length).toBeGreaterThan(30)
  expect(templates.filter(name => !used.has(name))).toEqual([])
})

it.each([
  ['record', ['envoy-filter']],
  ['record-api-keys', ['envoy-filter', 'api-keys/envoy-filter']],
  ['record-static', ['static/envoy-filter']],
])(
  'pilot’s %s has the filters and access loggers that %s insert, and no others of Mintmark',
  (name, files) => {
    const inserted = files.flatMap(file => [
      ...(generated[`deploy/istio/${file}.yaml`] ?? '').matchAll(/^ +name: (mintmark\.[-\w]+)$/gm),
    ])
    const record = JSON.parse(readFileSync(new URL(`pilot/${name}.json`, import.meta.url), 'utf8'))
    const { http_filters, access_log } = record.connection_manager
    const names: string[] = [...http_filters, ...access_log].map(({ name }) => name)
    const ours = names.filter(each => each.startsWith('mintmark.'))
    expect(ours.toSorted()).toEqual(inserted.map(([, each]) => each).toSorted())
  },
)
