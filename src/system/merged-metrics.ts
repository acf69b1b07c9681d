import { AggregatorRegistry, type MetricObjectWithValues, type MetricValue } from 'prom-client'

/** The metrics of one process at one time. Can be sent to another process. */
export type Snapshot = readonly Sampled[]

type Sampled = MetricObjectWithValues<MetricValue<string>>

/** prom-client's own metrics say something of one process only. */
const isOfProcess = ({ name }: Sampled) => /^(process|nodejs)_/.test(name)
/** In prom-client's JSON the type is its name, unlike what its types say. */
const only =
  (...types: string[]) =>
  (metric: Sampled) =>
    types.includes(String(metric.type))

/** Several snapshots on one page: counters and histograms are sums, gauges what they were declared to be. */
export function renderMerged(snapshots: readonly Snapshot[]): Promise<string> {
  return aggregate(snapshots).metrics()
}

/** The sums of these counters and histograms: what processes counted that have ended. */
export async function mergeCounts(snapshots: readonly Snapshot[]): Promise<Snapshot> {
  const counts = snapshots.map(countsOf)
  return (await aggregate(counts).getMetricsAsJSON()) as unknown as Snapshot
}

/** Counters and histograms, which continue to grow when a process is replaced, without those of the process itself. */
export const countsOf = (snapshot: Snapshot): Snapshot =>
  snapshot.filter(only('counter', 'histogram')).filter(metric => !isOfProcess(metric))

export const withoutProcess = (snapshot: Snapshot): Snapshot =>
  snapshot.filter(metric => !isOfProcess(metric))

/** Metrics of the process have this value of the label `process`, so that each of them keeps its own. */
export const ofProcess = (snapshot: Snapshot, process: string): Snapshot =>
  snapshot.map(metric => {
    if (!isOfProcess(metric)) return metric
    const values = metric.values.map(value => ({ ...value, labels: { ...value.labels, process } }))
    return { ...metric, aggregator: 'sum', values }
  })

const aggregate = (snapshots: readonly Snapshot[]) =>
  AggregatorRegistry.aggregate(snapshots.map(snapshot => [...snapshot]))
