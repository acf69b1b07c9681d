// Generates the files in deploy/ from the templates in this folder: npm run generate [-- --routes openai,anthropic]
import { mkdirSync, writeFileSync } from 'node:fs'
import { dirname } from 'node:path'
import { ROUTE_GROUPS, type RouteGroup } from '../../src/gateway/headers.ts'
import { deployFiles } from './deploy-files.ts'

for (const [path, content] of Object.entries(deployFiles(groupsOf(process.argv.slice(2))))) {
  const file = new URL(`../../${path}`, import.meta.url)
  mkdirSync(dirname(file.pathname), { recursive: true })
  writeFileSync(file, content)
  console.log(path)
}

/** Undefined without `--routes`. @throws {Error} for an unknown argument or group */
function groupsOf(words: readonly string[]): RouteGroup[] | undefined {
  if (words.length === 0) return undefined
  const [option, list, ...more] = words.flatMap(word => word.split('='))
  const isGroup = (name: string): name is RouteGroup => ROUTE_GROUPS.some(group => group === name)
  const names = list?.split(',') ?? []
  if (option !== '--routes' || names.length === 0 || !names.every(isGroup) || more.length > 0)
    throw new Error(
      `usage: npm run generate -- --routes <groups>, comma-separated: ${ROUTE_GROUPS.join(', ')}`,
    )
  return names
}
