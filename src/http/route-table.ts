import type { IncomingMessage, ServerResponse } from 'node:http'
import { notReady, type Readiness } from './health.ts'
import type { Application } from './listener.ts'
import { methodNotAllowed, nothingHere, requestError } from './request-error.ts'
import { UNMATCHED } from './request-event.ts'

/** Answers a request, or throws. `param` is the decoded route parameter; '' where the route has none. */
export type Handler = (req: IncomingMessage, res: ServerResponse, param: string) => Promise<void> | undefined

/** Answers an error that a handler threw. */
type Refuse = (thrown: unknown, res: ServerResponse) => void

export interface Route {
  /** GET includes HEAD. Default: any method. */
  methods?: readonly string[]
  /**
   * Compared byte by byte with the path as sent, without its query. `{name}` matches text within one segment; `{/*}` at
   * the end matches the path before it and everything below.
   */
  path: string
  handle: Handler
  /** Default: the table's. */
  refuse?: Refuse
  /** Polled by verifiers. */
  polled?: boolean
}

interface TableOptions {
  routes: readonly Route[]
  readiness: Readiness
  refuse: Refuse
  /** Added to the message of a 404. */
  hint?: string
}

/**
 * An application of a few routes without Express, which would replace the prototypes of each request and response and
 * try all routes: that takes longer than everything these responses need (docs/performance.md). Another method on a
 * route's path is 405, an unknown path is 404, and the routes answer 503 until the process has been ready.
 */
export function routeTable(options: TableOptions): Application {
  const { exact, patterns } = placesOf(options)
  const nothing = refusing(UNMATCHED, () => nothingHere(options.hint), options.refuse)
  return (req, res, event, done) => {
    const path = withoutQuery(req.url ?? '')
    let place = exact.get(path)
    let param: string | undefined
    for (let index = 0; !place && index < patterns.length; index++) {
      param = patterns[index]?.paramIn(path)
      if (param !== undefined) place = patterns[index]?.place
    }
    const route = place ? (place.byMethod.get(req.method ?? '') ?? place.otherwise) : nothing
    event.route = route.name
    event.polled = route.polled
    try {
      if (event.fault) throw event.fault
      const pending = route.handle(req, res, param ? decoded(param) : '')
      if (pending !== undefined) return void finish(pending, route, res, done)
    } catch (thrown) {
      refuse(route, thrown, res)
    }
    done(!res.destroyed)
  }
}

async function finish(
  pending: Promise<void>,
  route: Prepared,
  res: ServerResponse,
  done: Parameters<Application>[3],
): Promise<void> {
  try {
    await pending
  } catch (thrown) {
    refuse(route, thrown, res)
  }
  done(!res.destroyed)
}

function refuse(route: Prepared, thrown: unknown, res: ServerResponse): void {
  if (res.headersSent) res.destroy()
  else route.refuse(thrown, res)
}

/** A route prepared for matching. `name` is for logs and metrics. */
interface Prepared {
  name: string
  polled: boolean
  handle: Handler
  refuse: Refuse
}

/** All routes of one path. */
interface Place {
  byMethod: ReadonlyMap<string, Prepared>
  otherwise: Prepared
}

interface Pattern {
  place: Place
  /** The parameter as sent, '' for a pattern without one; undefined when the path does not match. */
  paramIn: (path: string) => string | undefined
}

function placesOf({ routes, ...table }: TableOptions) {
  const exact = new Map<string, Place>()
  const patterns: Pattern[] = []
  for (const [path, those] of Map.groupBy(routes, route => route.path)) {
    const place = placeOf(path, those, table)
    const [, before = path, what, after = ''] = /^(.*)\{(\/\*|\w+)\}(.*)$/.exec(path) ?? []
    if (what === undefined || what === '/*') exact.set(before, place)
    if (what === '/*') patterns.push({ place, paramIn: below(`${before}/`) })
    else if (what !== undefined) patterns.push({ place, paramIn: segmentBetween(before, after) })
  }
  return { exact, patterns }
}

function placeOf(path: string, routes: readonly Route[], table: Omit<TableOptions, 'routes'>): Place {
  // In Express's notation, as on the other listeners.
  const name = path.replace('{/*}', '').replace(/\{(\w+)\}/, ':$1')
  const byMethod = new Map<string, Prepared>()
  const allowed = routes.flatMap(({ methods = [] }) => methods)
  let otherwise = refusing(name, () => methodNotAllowed(allowed), table.refuse)
  for (const { methods, handle, polled = false, refuse = table.refuse } of routes) {
    const route = { name, polled, handle: onceReady(table.readiness, handle), refuse }
    if (!methods) otherwise = route
    for (const method of methods ?? []) byMethod.set(method, route)
    if (methods?.includes('GET')) byMethod.set('HEAD', route)
  }
  return { byMethod, otherwise }
}

function onceReady(readiness: Readiness, handle: Handler): Handler {
  return (req, res, param) => {
    const fault = notReady(readiness)
    if (fault) throw fault
    return handle(req, res, param)
  }
}

function refusing(name: string, error: () => Error, refuse: Refuse): Prepared {
  const handle = () => {
    throw error()
  }
  return { name, polled: false, handle, refuse }
}

const segmentBetween = (before: string, after: string) => (path: string) => {
  if (!path.startsWith(before) || !path.endsWith(after)) return undefined
  const segment = path.slice(before.length, path.length - after.length)
  return segment === '' || segment.includes('/') ? undefined : segment
}

const below = (beginning: string) => (path: string) => (path.startsWith(beginning) ? '' : undefined)

function withoutQuery(url: string): string {
  const query = url.indexOf('?')
  return query < 0 ? url : url.slice(0, query)
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text)
  } catch {
    throw requestError(400)
  }
}
