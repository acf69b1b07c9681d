import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from 'prom-client'
import { Unavailable } from '../errors.ts'

/** One line of a metric that has labels. A label's values come from a fixed list, never from what a client sent. */
interface Sample {
  labels: Readonly<Record<string, string>>
  /** Undefined, or not finite: this line is left out. */
  value: number | undefined
}

/** Counts one value under labels, whose values come from a fixed list. */
export type Observe = (labels: Readonly<Record<string, string>>, value: number) => void

type Reading = number | boolean | undefined | readonly Sample[]

/**
 * The metrics of one process, in the names and units of Prometheus (https://prometheus.io/docs/practices/naming/).
 * Gauges and counters are read from plain numbers at each scrape; only histograms count as values arrive.
 */
export class Metrics {
  readonly #registry = new Registry()
  readonly contentType = this.#registry.contentType

  /** `read` may throw Unavailable while there is nothing to tell. */
  gauge(name: string, help: string, read: () => Reading, labels: readonly string[] = []): void {
    const gauge: Gauge = new Gauge({
      name,
      help,
      labelNames: [...labels],
      registers: [this.#registry],
      collect: () => {
        gauge.reset()
        const samples = samplesOf(read)
        // Reset means 0 to a gauge without labels, and 0 is something.
        if (samples.length === 0 && labels.length === 0) gauge.remove()
        for (const sample of samples) gauge.set(sample.labels, sample.value)
      },
    })
  }

  /** `read` gives a number that only grows; its name ends in `_total`. */
  counter(name: string, help: string, read: () => Reading, labels: readonly string[] = []): void {
    const counter: Counter = new Counter({
      name,
      help,
      labelNames: [...labels],
      registers: [this.#registry],
      collect: () => {
        counter.reset()
        for (const { labels, value } of samplesOf(read)) counter.inc(labels, value)
      },
    })
  }

  /** Returns what counts one value; `buckets` are upper bounds, ascending, in the unit that the name says. */
  histogram(name: string, help: string, buckets: readonly number[], labels: readonly string[]): Observe {
    const options = {
      name,
      help,
      buckets: [...buckets],
      labelNames: [...labels],
      registers: [this.#registry],
    }
    const histogram = new Histogram(options)
    return (labels, value) => histogram.observe(labels, value)
  }

  /**
   * What prom-client measures of the process and of Node: `process_*` and `nodejs_*`, under the names that dashboards
   * for Node.js services expect. Measuring does not keep the process alive, and ends with it.
   */
  collectProcessMetrics(): void {
    collectDefaultMetrics({ register: this.#registry })
  }

  /** All of them, in the text format of Prometheus. */
  render(): Promise<string> {
    return this.#registry.metrics()
  }
}

/** Counts by name, as the samples of a metric with one label. */
export function by(label: string, counts: Readonly<Record<string, number>>): Sample[] {
  return Object.entries(counts).map(([name, value]) => ({ labels: { [label]: name }, value }))
}

type FiniteSample = Sample & { value: number }

function samplesOf(read: () => Reading): readonly FiniteSample[] {
  const reading = readingOf(read)
  if (reading === undefined) return []
  const samples = typeof reading === 'object' ? reading : [{ labels: {}, value: Number(reading) }]
  return samples.filter((sample): sample is FiniteSample => Number.isFinite(sample.value))
}

function readingOf(read: () => Reading): Reading {
  try {
    return read()
  } catch (error) {
    if (error instanceof Unavailable) return undefined
    throw error
  }
}
