import { ROUTES } from '../../src/gateway/headers.ts'
import type { Checks } from './checks.ts'
import { CLOSED } from './closed-routes.ts'
import type { DescribedApi } from './described-api.ts'

const open: readonly string[] = ROUTES.map(({ path }) => path)
const closed = Object.values(CLOSED).flat()
const unlisted = (paths: readonly string[]) =>
  paths.filter(path => !open.includes(path) && !closed.includes(path))

/** Every route of the engine is in the list of groups, or closed with a reason: a new one is named here. */
export async function checkRoutes(
  checks: Checks,
  of: string,
  { paths, failed }: DescribedApi,
): Promise<void> {
  await checks.equal(`${of}: every module with routes can be read`, [], () => failed)
  await checks.equal(`${of}: each of ${paths.length} routes is in a group or closed`, [], () =>
    unlisted(paths),
  )
}

/** The list itself, at a vLLM with every route. */
export async function checkListedRoutes(checks: Checks, { paths }: DescribedApi): Promise<void> {
  await checks.equal('a new route of vLLM is named', ['/v1/new'], () => unlisted([...paths, '/v1/new']))
  await checks.equal('no closed route is in a group', [], () => open.filter(path => closed.includes(path)))
  await checks.equal('every route of a group is one of vLLM', [], () =>
    open.filter(path => !paths.includes(path)),
  )
}
