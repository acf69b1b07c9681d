import express, { type ErrorRequestHandler, type Express, type Request, type RequestHandler } from 'express'
import { setFixedHeaders } from './answer.ts'
import { readBody } from './body.ts'
import { notReady, type Readiness } from './health.ts'
import type { Application } from './listener.ts'
import { methodNotAllowed, nothingHere } from './request-error.ts'
import { eventOf, UNMATCHED } from './request-event.ts'

/**
 * An Express application for listeners with many routes. Paths match exactly. Add routes before `expressApplication`.
 */
export function createExpress(): Express {
  const app = express()
  app.disable('x-powered-by').disable('etag').enable('strict routing').enable('case sensitive routing')
  app.set('query parser', 'simple')
  app.use((_req, res, next) => next(eventOf(res).fault))
  return app
}

/** The application, which answers 404 after all its routes. `onError` handlers run in order; the last one answers. */
export function expressApplication(app: Express, ...onError: ErrorRequestHandler[]): Application {
  app.use((_req, _res, next) => next(nothingHere()))
  for (const handler of onError) app.use(handler)
  return (req, res, event, done) => {
    setFixedHeaders(res)
    res.on('close', () => {
      event.route = routeOf(req as Request)
      done(res.writableFinished)
    })
    app(req, res)
  }
}

const MOUNTED_AT = Symbol('mounted at')
type Mounted = Request & { [MOUNTED_AT]?: string }

/** For a router: keeps its mount path, which Express forgets when an error leaves the router. */
export const keepMountPath: RequestHandler = (req, _res, next) => {
  ;(req as Mounted)[MOUNTED_AT] = req.baseUrl
  next()
}

/** The pattern of the route that matched. */
export function routeOf(req: Request): string {
  const path: unknown = req.route?.path
  return typeof path === 'string' ? `${(req as Mounted)[MOUNTED_AT] ?? ''}${path}` : UNMATCHED
}

/** Answers 405 to every other method on a path; add it after the path's routes. */
export function onlyMethods(...allowed: string[]): RequestHandler {
  return (_req, _res, next) => next(methodNotAllowed(allowed))
}

/** Reads the whole body into `req.body` as bytes, at most `limit`, unless it has been read. */
export function rawBody(limit: number): RequestHandler {
  return async (req, _res, next) => {
    if (req.body === undefined && !req.readableEnded) req.body = await readBody(req, limit)
    next()
  }
}

/** Rejects requests until the process has been ready. */
export function whenReady(readiness: Readiness): RequestHandler {
  return (_req, _res, next) => next(notReady(readiness))
}
