// Generates the files in deploy/ from the templates in this folder: npm run generate [-- --routes openai,anthropic] [--revocations open] [--usage http]
import { mkdirSync, writeFileSync } from 'node:fs'
import { dirname } from 'node:path'
import { parseArgs } from 'node:util'
import { ROUTE_GROUPS, type RouteGroup } from '../../src/gateway/headers.ts'
import { deployFiles } from './deploy-files.ts'
import type { WithoutList } from './envoy/revocations.ts'
import { USAGE_TRANSPORTS, type UsageTransport } from './envoy-parts/usage-report.ts'

const { values } = parseArgs({
  options: { routes: { type: 'string' }, revocations: { type: 'string' }, usage: { type: 'string' } },
})

for (const [path, content] of Object.entries(
  deployFiles(groupsOf(values.routes), withoutListOf(values.revocations), transportOf(values.usage)),
)) {
  const file = new URL(`../../${path}`, import.meta.url)
  mkdirSync(dirname(file.pathname), { recursive: true })
  writeFileSync(file, content)
  console.log(path)
}

/** Undefined without `--routes`. @throws {Error} for an unknown group */
function groupsOf(list: string | undefined): RouteGroup[] | undefined {
  if (list === undefined) return undefined
  const isGroup = (name: string): name is RouteGroup => ROUTE_GROUPS.some(group => group === name)
  const names = list.split(',')
  if (names.every(isGroup)) return names
  throw new Error(`usage: npm run generate -- --routes <groups>, comma-separated: ${ROUTE_GROUPS.join(', ')}`)
}

/** Undefined without `--revocations`. @throws {Error} for another value */
function withoutListOf(given: string | undefined): WithoutList | undefined {
  if (given === undefined || given === 'open' || given === 'closed') return given
  throw new Error('usage: npm run generate -- --revocations <open or closed>')
}

/** Undefined without `--usage`. @throws {Error} for another value */
function transportOf(given: string | undefined): UsageTransport | undefined {
  const transport = USAGE_TRANSPORTS.find(each => each === given)
  if (given === undefined || transport) return transport
  throw new Error(`usage: npm run generate -- --usage <${USAGE_TRANSPORTS.join(' or ')}>`)
}
