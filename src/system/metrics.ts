import { Counter, Gauge, Histogram, Registry } from 'prom-client'
import { Unavailable } from '../errors.ts'
import type { Distribution } from './distribution.ts'

/** One line of a metric that has labels. A label's values come from a fixed list, never from what a client sent. */
interface Sample {
  labels: Readonly<Record<string, string>>
  /** Undefined, or not finite: this line is left out. */
  value: number | undefined
}

/** The lines of a histogram with these labels. */
interface Distributed {
  labels: Readonly<Record<string, string>>
  distribution: Distribution
}

type Reading = number | boolean | undefined | readonly Sample[]

/**
 * The metrics of one process, in the names and units of Prometheus (https://prometheus.io/docs/practices/naming/).
 * Nobody pushes into them: whoever has something to tell keeps plain numbers, and they are read when somebody scrapes.
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

  histogram(name: string, help: string, read: () => readonly Distributed[], labels: readonly string[]): void {
    this.#registry.registerMetric(new ReadHistogram(name, help, read, labels))
  }

  /** All of them, in the text format of Prometheus. */
  render(): Promise<string> {
    return this.#registry.metrics()
  }
}

/** A histogram that keeps nothing itself: prom-client's takes longer to observe a request than some take to answer. */
class ReadHistogram extends Histogram {
  readonly #about: { name: string; help: string; type: string; aggregator: string }
  readonly #read: () => readonly Distributed[]

  constructor(name: string, help: string, read: () => readonly Distributed[], labels: readonly string[]) {
    super({ name, help, labelNames: [...labels], registers: [] })
    this.#about = { name, help, type: 'histogram', aggregator: 'sum' }
    this.#read = read
  }

  /** What the registry asks a histogram for, and what `get` makes its answer of. */
  async getForPromString() {
    return { ...this.#about, values: this.#read().flatMap(each => linesOf(this.#about.name, each)) }
  }
}

/** Each bucket counts what the ones before it count, too. */
function linesOf(name: string, { labels: sharedLabels, distribution: { bounds, counts, sum } }: Distributed) {
  let count = 0
  const buckets = counts.map((more, bucket) => {
    count += more
    return {
      metricName: `${name}_bucket`,
      sharedLabels,
      labels: { le: bounds[bucket] ?? '+Inf' },
      value: count,
    }
  })
  return [
    ...buckets,
    { metricName: `${name}_sum`, sharedLabels, labels: {}, value: sum },
    { metricName: `${name}_count`, sharedLabels, labels: {}, value: count },
  ]
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
