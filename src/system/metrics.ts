import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from 'prom-client'
import { Unavailable } from '../errors.ts'
import type { Snapshot } from './merged-metrics.ts'

/** One sample of a metric with labels. Label values come from a fixed list, never from client input. */
interface Sample {
  labels: Readonly<Record<string, string>>
  /** Undefined or not finite: the sample is left out. */
  value: number | undefined
}

/** Counts one value under labels from a fixed list. */
export type Observe = (labels: Readonly<Record<string, string>>, value: number) => void

/** What a gauge of several processes is that share the listeners of one: merged-metrics.ts */
export type Aggregation = 'sum' | 'max' | 'min'

type Reading = number | boolean | undefined | readonly Sample[]

/**
 * The metrics of one process, in the names and units of Prometheus (https://prometheus.io/docs/practices/naming/).
 * Gauges and counters are read from plain numbers at each scrape; only histograms count as values arrive.
 */
export class Metrics {
  readonly #registry = new Registry()
  readonly contentType = this.#registry.contentType

  /** `read` may throw Unavailable while there is no value. */
  gauge(
    name: string,
    help: string,
    aggregation: Aggregation,
    read: () => Reading,
    labels: readonly string[] = [],
  ): void {
    const gauge: Gauge = new Gauge({
      name,
      help,
      aggregator: aggregation,
      labelNames: [...labels],
      registers: [this.#registry],
      collect: () => {
        gauge.reset()
        const samples = samplesOf(read)
        // prom-client resets a gauge without labels to 0, which would be a value.
        if (samples.length === 0 && labels.length === 0) gauge.remove()
        for (const sample of samples) gauge.set(sample.labels, sample.value)
      },
    })
  }

  /** `read` returns a number that only grows; its name ends in `_total`. */
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

  /** Returns a function that counts one value; `buckets` are ascending upper bounds, in the unit of the name. */
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
   * prom-client's metrics of the process and of Node: `process_*` and `nodejs_*`, the names that dashboards for Node.js
   * services expect. They do not keep the process alive.
   */
  collectProcessMetrics(): void {
    collectDefaultMetrics({ register: this.#registry })
  }

  /** The current values, for merged-metrics.ts. */
  async snapshot(): Promise<Snapshot> {
    const metrics = (await this.#registry.getMetricsAsJSON()) as unknown as Snapshot
    return metrics.map(metric => ({ ...metric, values: metric.values.filter(hasValue) }))
  }

  /** All metrics in the text format of Prometheus. */
  render(): Promise<string> {
    return this.#registry.metrics()
  }
}

/** Counts by name, as the samples of a metric with one label. */
export function by(label: string, counts: Readonly<Record<string, number>>): Sample[] {
  return Object.entries(counts).map(([name, value]) => ({ labels: { [label]: name }, value }))
}

const hasValue = ({ value }: { value: number }) => Number.isFinite(value)

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
