import type { Metrics } from '../system/metrics.ts'

/** An exchange takes less than a millisecond of work; requests that wait for Postgres time out within two seconds. */
const BUCKETS_SECONDS = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2]

/** By the first digit of a status. */
const CLASSES = ['other', '1xx', '2xx', '3xx', '4xx', '5xx'] as const

/** Notes how long a request took. `route` is the pattern that matched, never the path that was sent. */
export type NoteDuration = (listener: string, route: string, status: number, seconds: number) => void

export function requestDurations(metrics: Metrics): NoteDuration {
  const observe = metrics.histogram(
    'mintmark_http_request_duration_seconds',
    'Duration of requests, by listener, route and status class. A client that disconnected early counts as 4xx. Checks over gRPC have the route Check.',
    BUCKETS_SECONDS,
    ['listener', 'route', 'status'],
  )
  return (listener, route, status, seconds) =>
    observe({ listener, route, status: CLASSES[Math.floor(status / 100)] ?? 'other' }, seconds)
}
