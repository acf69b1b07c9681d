import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { dirname, join, normalize } from 'node:path'
import { fileURLToPath } from 'node:url'
import { describe, expect, it } from 'vitest'

/**
 * The rooms of src, lowest row first: a file imports from its own row and from the rows before it in this list, never
 * from later ones. docs/architecture.md shows them.
 */
const ROWS: string[][] = [
  ['errors', 'refusal-reasons', 'system'],
  ['config', 'database', 'embedded-postgres', 'tracing'],
  ['installation', 'audit', 'idempotency', 'sets', 'tombstones'],
  ['tenants'],
  ['api-keys', 'signing-keys', 'admin-tokens', 'identity-providers'],
  ['directory'],
  ['authentication', 'tokens', 'token-revocations', 'snapshots', 'usage'],
  ['http'],
  ['oauth', 'admin', 'gateway', 'telemetry', 'xds'],
  ['service'],
  ['main', 'cli'],
]
/** Transports never import each other. */
const APART = new Set(['oauth', 'admin', 'gateway', 'telemetry', 'xds'])
/** Rooms that import only errors and system. */
const ALONE = new Set(['database', 'embedded-postgres', 'tracing'])

/** The owners of each third-party package. A package that is not listed is imported nowhere in src. */
const PACKAGES: Record<string, RegExp> = {
  bcrypt: /^api-keys\/imported\/imported-hash/,
  jose: /^(signing-keys|tokens|identity-providers)\/|^audit\/audit-checkpoint/,
  // The listeners public and gateway do without it.
  express: /^http\/(express-app|metrics-page|ops-app)\.ts$|^admin\//,
  kysely:
    /^database\/|^(audit|idempotency|sets|tombstones|tenants|api-keys|admin-tokens|signing-keys|identity-providers|directory|authentication|usage|token-revocations)\/.*-repository\.ts$|^installation\/(replicas|secret-use)\.ts$/,
  pg: /^(database|embedded-postgres)\//,
  'ipaddr.js': /^system\/(ip|public)-address/,
  'lru-cache':
    /^directory\/(key-statuses|known-repository|negative-cache)|^tokens\/issued-tokens|^admin\/admin-auth/,
  'rate-limiter-flexible': /^system\/minute-limit/,
  pino: /^system\/logger/,
  'prom-client': /^system\/(merged-)?metrics/,
  zod: /^admin\//,
  commander: /^cli\//,
  yaml: /^cli\//,
  '@grpc': /^gateway\/grpc-/,
  '@opentelemetry': /^tracing\//,
}
/** The name of a function or method that returns a promise, and that of any other. */
const ASYNC_DECLARATION =
  /\basync (?:function )?(#?\w+)\s*[(<]|(?:const|readonly) (#?\w+) = async\b|\bfunction (\w+)(?:<[^>]*>)?\([^)]*\): Promise<|^ {2}(#?\w+)(?:<[^>]*>)?\([^)]*\): Promise<|^ {2}(?:readonly )?(\w+): \([^)]*\) => Promise</gm
const OTHER_DECLARATION =
  /^\s*(?:export )?function (\w+)(?:<[^>]*>)?\([^)]*\): (?!Promise)|^ {2}(?:static |get )?(#?\w+)(?:<[^>]*>)?\([^)]*\): (?!Promise)|const (\w+) = (?!async)[^=\n]*\([^)]*\)(?:: (?!Promise)[^=]+)? =>/gm
const LONGEST_FILE_LINES = 250
const MOST_FILES_IN_A_ROOM = 30

/** Transports use services, not tables. */
const TRANSPORTS = /^(oauth|admin|gateway|telemetry|http)\//

const src = fileURLToPath(new URL('../src/', import.meta.url))
const files = readdirSync(src, { recursive: true, encoding: 'utf8' }).filter(name => name.endsWith('.ts'))
const texts = new Map(files.map(name => [name, readFileSync(join(src, name), 'utf8')]))

const folderOf = (file: string) => file.split('/')[0]?.replace(/\.ts$/, '') ?? ''
const rowOf = (file: string) => ROWS.findIndex(row => row.includes(folderOf(file)))

function importsOf(file: string): { specifier: string; target: string | undefined }[] {
  const text = texts.get(file) ?? ''
  return [...text.matchAll(/(?<![\w.:'])(?:from|import)\s*\(?\s*'([^']+)'/g)].map(([, specifier = '']) => ({
    specifier,
    target: specifier.startsWith('.') ? normalize(join(dirname(file), specifier)) : undefined,
  }))
}

function violations(
  check: (file: string, target: string | undefined, specifier: string) => boolean,
): string[] {
  return files.flatMap(file =>
    importsOf(file)
      .filter(({ target, specifier }) => check(file, target, specifier))
      .map(({ specifier }) => `${file} imports ${specifier}`),
  )
}

describe('src', () => {
  it('has files to check, and each belongs to a row', () => {
    expect(files.length).toBeGreaterThan(40)
    expect(files.filter(file => rowOf(file) < 0)).toEqual([])
  })

  it('imports from its own row and earlier rows only', () => {
    expect(violations((file, target) => target !== undefined && rowOf(target) > rowOf(file))).toEqual([])
  })

  it('imports nothing from outside src but the launcher, which every Node can read', () => {
    expect(violations((_, target) => target?.startsWith('../') === true)).toEqual([
      'cli/main.ts imports ../../scripts/right-node.js',
    ])
  })

  it('contains only what the build ships', () => {
    const all = readdirSync(src, { recursive: true, withFileTypes: true }).filter(entry => entry.isFile())
    expect(all.map(({ name }) => name).filter(name => !/(\.ts|^README\.md)$/.test(name))).toEqual([])
  })

  it('keeps transports apart', () => {
    const crosses = (file: string, target: string | undefined) =>
      target !== undefined &&
      folderOf(file) !== folderOf(target) &&
      APART.has(folderOf(file)) &&
      APART.has(folderOf(target))
    expect(violations(crosses)).toEqual([])
  })

  it('keeps Postgres access independent of the rest', () => {
    const leaves = (file: string, target: string | undefined) =>
      target !== undefined &&
      ALONE.has(folderOf(file)) &&
      ![folderOf(file), 'errors', 'system'].includes(folderOf(target))
    expect(violations(leaves)).toEqual([])
  })

  it('has no import cycles', () => {
    expect(cycles()).toEqual([])
  })

  it('imports each third-party package from its owners only', () => {
    const foreign = (file: string, target: string | undefined, specifier: string) => {
      if (target !== undefined || specifier.startsWith('node:')) return false
      const name = specifier.split('/')[0] ?? ''
      return !PACKAGES[name]?.test(file)
    }
    expect(violations(foreign)).toEqual([])
  })

  it('answers on the public and gateway listeners without Express', () => {
    const reached = reachedFrom('oauth/public-app.ts', 'gateway/http-check.ts', 'gateway/grpc-check.ts')
    expect(reached).toContain('http/route-table.ts')
    const users = reached.filter(file => importsOf(file).some(({ specifier }) => specifier === 'express'))
    expect(users).toEqual([])
  })

  it('keeps repositories out of the transports', () => {
    const reaches = (file: string, target: string | undefined) =>
      TRANSPORTS.test(file) && /-repository\.ts$/.test(target ?? '')
    expect(violations(reaches)).toEqual([])
  })

  it.each([
    ['the clock', /Date\.now\(|new Date\(\)|performance\.now|setTimeout\(|setInterval\(/],
    ['chance', /Math\.random|randomBytes\(|randomUUID\(|randomInt\(|randomFill/],
    ['the environment', /process\.env/],
  ])('reads %s only in its designated place', (what, pattern) => {
    // The embedded database passes PATH to its programs, and rejects production as well.
    const allowed = what === 'the environment' ? /^(main\.ts|cli\/|embedded-postgres\/)/ : /^system\//
    const found = files.filter(file => !allowed.test(file) && pattern.test(texts.get(file) ?? ''))
    expect(found).toEqual([])
  })

  it('awaits what it negates: neither Biome nor TypeScript finds a promise there, which is never false', () => {
    const named = (pattern: RegExp) =>
      new Set(
        [...texts.values()].flatMap(text =>
          [...text.matchAll(pattern)].map(([, ...all]) => all.find(Boolean)),
        ),
      )
    const others = named(OTHER_DECLARATION)
    const asynchronous = [...named(ASYNC_DECLARATION)].filter(
      (name = '') => !others.has(name) && !(name in Array.prototype),
    )
    const negated = (text: string) =>
      [...text.matchAll(/!\(*(?:[\w.#?]+\.)?(#?\w+)\(/g)].flatMap(([whole, name]) =>
        asynchronous.includes(name) ? whole : [],
      )
    expect(negated('if (!(holdCurrentPepper(trx, pepper))) return')).toEqual(['!(holdCurrentPepper('])
    expect(files.flatMap(file => negated(texts.get(file) ?? ''))).toEqual([])
  })

  it('has no catch-all files', () => {
    expect(files.filter(file => /(^|\/)(utils?|helpers?|common|types|index)(\.ts|\/)/.test(file))).toEqual([])
  })

  it('names every column that it reads', () => {
    expect(files.filter(file => /selectAll\(|SELECT \*|RETURNING \*/i.test(texts.get(file) ?? ''))).toEqual(
      [],
    )
  })

  it('keeps files short', () => {
    const lines = (file: string) => (texts.get(file) ?? '').trimEnd().split('\n').length
    expect(files.filter(file => lines(file) > LONGEST_FILE_LINES)).toEqual([])
  })

  it('describes each room in its README, and shows each room on the map', () => {
    const rooms = [...new Set(files.filter(file => file.includes('/')).map(folderOf))]
    const page = readFileSync(new URL('../docs/architecture.md', import.meta.url), 'utf8')
    const picture = readFileSync(new URL('../docs/images/rooms.svg', import.meta.url), 'utf8')
    expect(rooms.length).toBeGreaterThan(15)
    expect(rooms.filter(room => !existsSync(join(src, room, 'README.md')))).toEqual([])
    expect(rooms.filter(room => !page.includes(`src/${room}/README.md`))).toEqual([])
    expect(rooms.filter(room => !picture.includes(`>${room}<`))).toEqual([])
  })

  it('keeps rooms small', () => {
    const counts = Map.groupBy(files, file => dirname(file))
    expect(
      [...counts].filter(([, { length }]) => length > MOST_FILES_IN_A_ROOM).map(([room]) => room),
    ).toEqual([])
  })
})

describe('deploy/generate', () => {
  it('imports from src only lists, messages, limits and variables, and the text of the scanner for nginx', () => {
    const folder = new URL('../deploy/generate/', import.meta.url)
    const sources = readdirSync(folder, { recursive: true, encoding: 'utf8' })
      .filter(name => name.endsWith('.ts'))
      .map(name => readFileSync(new URL(name, folder), 'utf8'))
    const taken = sources.flatMap(text =>
      [...text.matchAll(/'(?:\.\.\/)+(src\/[^']+)'/g)].map(([, path]) => path),
    )
    expect([...new Set(taken)].toSorted()).toEqual([
      'src/config/config.ts',
      'src/config/env.ts',
      'src/gateway/denial.ts',
      'src/gateway/envoy-details.ts',
      'src/gateway/headers.ts',
      'src/gateway/media-name.ts',
      'src/gateway/model-in-body.ts',
      'src/gateway/refused-fields.ts',
      'src/gateway/set-headers.ts',
      'src/tokens/claims.ts',
      'src/tokens/limits-claim.ts',
      'src/xds/deny-filter.ts',
      'src/xds/discovery-messages.ts',
    ])
    const imported = sources.flatMap(text =>
      [...text.matchAll(/from '([^']+)'/g)].map(([, name = '']) => name),
    )
    expect(imported.filter(name => !/^(node:|\.)/.test(name))).toEqual(['yaml'])
  })
})

describe('clients/typescript', () => {
  it('imports only its own files, so that it runs wherever fetch exists', () => {
    const folder = new URL('../clients/typescript/src/', import.meta.url)
    const sources = readdirSync(folder).map(name => readFileSync(new URL(name, folder), 'utf8'))
    const specifiers = sources.flatMap(text => [...text.matchAll(/from '([^']+)'/g)].map(([, name]) => name))
    expect(specifiers.length).toBeGreaterThan(3)
    expect(specifiers.filter(name => !name?.startsWith('./'))).toEqual([])
  })
})

/** These files and all their imports, transitively. */
function reachedFrom(...starts: string[]): string[] {
  const reached = new Set(starts)
  for (const file of reached)
    for (const { target } of importsOf(file)) if (target && texts.has(target)) reached.add(target)
  return [...reached]
}

function cycles(): string[] {
  const found: string[] = []
  const done = new Set<string>()
  const visit = (file: string, trail: string[]) => {
    if (trail.includes(file)) return void found.push([...trail.slice(trail.indexOf(file)), file].join(' → '))
    if (done.has(file)) return
    for (const { target } of importsOf(file)) if (target && texts.has(target)) visit(target, [...trail, file])
    done.add(file)
  }
  for (const file of files) visit(file, [])
  return found
}
