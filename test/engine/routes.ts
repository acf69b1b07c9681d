import { ROUTES } from '../../src/gateway/headers.ts'
import type { Checks } from './checks.ts'
import type { Engine } from './engine.ts'

/** Routes of vLLM 0.32 that no group opens, and why. */
const CLOSED: Readonly<Record<string, string>> = {}

/** Every route that the engine serves is in the list of groups, or closed with a reason: a new one is named here. */
export async function checkRoutes(checks: Checks, engine: Engine): Promise<void> {
  const { paths } = (await (await fetch(`${engine.url}/openapi.json`)).json()) as {
    paths: Record<string, object>
  }
  const served = Object.keys(paths)
  const open: readonly string[] = ROUTES.map(({ path }) => path)
  await checks.equal('every route of the engine is in a group or closed', [], () =>
    served.filter(path => !open.includes(path) && !Object.hasOwn(CLOSED, path)),
  )
  await checks.equal('no closed route is in a group', [], () =>
    open.filter(path => Object.hasOwn(CLOSED, path)),
  )
}
