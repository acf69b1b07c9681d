/** A request that arrived. */
export interface TracedRequest {
  listener: string
  method: string | undefined
  /** The span of the caller (W3C Trace Context), if it is to be continued. */
  traceparent: string | string[] | undefined
}

/** How a request ended. */
export interface TracedAnswer {
  /** The pattern of the route that matched. */
  route: string
  status: number
  /** Of the request's event: ids, reasons and codes. */
  fields: Readonly<Record<string, string | number | boolean | undefined>>
  requestId: string
}

/**
 * Where requests and their queries are traced. Without one, nothing is: the rooms call it only if they have it, so that it
 * costs nothing. Nothing here waits for the receiver of the traces, or fails because of it.
 */
export interface Tracing {
  /** Calls `serve` at once, and notes the queries of all that it starts. `serve` calls `end` once. */
  request(request: TracedRequest, serve: (end: (answer: TracedAnswer) => void) => void): void
  /** Runs a statement. It is noted if it belongs to a request. The statement's values are parameters, so it has no secret. */
  query<T>(statement: string, run: () => Promise<T>): Promise<T>
  /** Sends what is left, for two seconds at most. */
  close(): Promise<void>
}
