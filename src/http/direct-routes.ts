import type { IncomingMessage, RequestListener, ServerResponse } from 'node:http'
import { logRequest } from './access-log.ts'
import { openEvent } from './request-context.ts'
import { ambiguity, type ListenerOptions } from './server.ts'

/** Answers a request, or throws. */
export type DirectHandler = (req: IncomingMessage, res: ServerResponse) => Promise<void> | undefined

export interface DirectRoute {
  /** Its name in logs and metrics: the path that is sent, or what all paths that are sent begin with. */
  path: string
  /** Asked again and again by verifiers. */
  polled?: true
  handle: DirectHandler
  /** Answers what `handle` threw. */
  refuse(thrown: unknown, res: ServerResponse): void
}

/** `path` is as it was sent, without a query. */
export type FindRoute = (method: string, path: string) => DirectRoute | undefined

/**
 * The few routes that are asked for thousands of times a second, answered without Express: it would give each request
 * and each response another prototype and walk all routes, which takes longer than all that these answers need
 * (docs/performance.md). They have the same event, log line and checks as all others, which go to `otherwise`.
 */
export function directRoutes(
  options: ListenerOptions,
  find: FindRoute,
  otherwise: RequestListener,
): RequestListener {
  return (req, res) => {
    const url = req.url ?? ''
    const query = url.indexOf('?')
    const route = find(req.method ?? '', query < 0 ? url : url.slice(0, query))
    if (!route) return otherwise(req, res)
    const event = openEvent(req, res, options)
    event.route = route.path
    event.polled = route.polled ?? false
    const started = options.clock.monotonicMs()
    const over = () => logRequest(req, res, options, { started, answered: !res.destroyed })
    const pending = answer(route, req, res)
    if (pending === undefined) over()
    else void pending.then(over)
  }
}

/** Routes by their methods and their whole path. */
export function exactly(routes: readonly (DirectRoute & { methods: readonly string[] })[]): FindRoute {
  const byName = new Map(
    routes.flatMap(route => route.methods.map(method => [`${method} ${route.path}`, route] as const)),
  )
  return (method, path) => byName.get(`${method} ${path}`)
}

/** One route for any method, on its path and on every path below it. */
export function below(route: DirectRoute): FindRoute {
  const beginning = `${route.path}/`
  return (_method, path) => (path === route.path || path.startsWith(beginning) ? route : undefined)
}

/** Never throws, never rejects. A handler that waits for nothing has answered when this returns. */
function answer(route: DirectRoute, req: IncomingMessage, res: ServerResponse): Promise<void> | void {
  const refuse = (thrown: unknown) => {
    if (res.headersSent) res.destroy()
    else route.refuse(thrown, res)
  }
  const refused = ambiguity(req)
  if (refused) return refuse(refused)
  try {
    return route.handle(req, res)?.catch(refuse)
  } catch (thrown) {
    refuse(thrown)
  }
}
