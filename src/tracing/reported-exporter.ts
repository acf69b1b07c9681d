import { type ExportResult, ExportResultCode } from '@opentelemetry/core'
import type { ReadableSpan, SpanExporter } from '@opentelemetry/sdk-trace'
import type { Clock } from '../system/clock.ts'
import type { Logger } from '../system/logger.ts'

const SILENCE_MS = 60_000

/** Logs spans that could not be sent, at most once a minute: the SDK drops them without a word. */
export class ReportedExporter implements SpanExporter {
  readonly #exporter: SpanExporter
  readonly #clock: Clock
  readonly #logger: Logger
  #lost = 0
  #loggedAt = Number.NEGATIVE_INFINITY

  constructor(exporter: SpanExporter, { clock, logger }: { clock: Clock; logger: Logger }) {
    this.#exporter = exporter
    this.#clock = clock
    this.#logger = logger
  }

  export(spans: ReadableSpan[], done: (result: ExportResult) => void): void {
    this.#exporter.export(spans, result => {
      if (result.code !== ExportResultCode.SUCCESS) this.#note(spans.length, result.error)
      done(result)
    })
  }

  forceFlush(): Promise<void> {
    return this.#exporter.forceFlush?.() ?? Promise.resolve()
  }

  shutdown(): Promise<void> {
    return this.#exporter.shutdown()
  }

  #note(spans: number, err: Error | undefined): void {
    this.#lost += spans
    const now = this.#clock.monotonicMs()
    if (now - this.#loggedAt < SILENCE_MS) return
    this.#loggedAt = now
    this.#logger.warn({ err, spans: this.#lost }, 'traces could not be sent')
    this.#lost = 0
  }
}
