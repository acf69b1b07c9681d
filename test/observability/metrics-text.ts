import { request } from '../support/test-service.ts'

interface Family {
  type: string
  help: string
  /** Label names of its series, except `le`. */
  labels: Set<string>
}

/** A parsed page of metrics: families by name, and values by series as written. */
export interface MetricsPage {
  text: string
  families: Map<string, Family>
  series: Map<string, number>
}

/** GET /metrics of the ops listener at this base URL. */
export async function scrape(opsUrl: string): Promise<MetricsPage> {
  const { status, text } = await request(`${opsUrl}/metrics`)
  if (status !== 200) throw new Error(`/metrics answered ${status}: ${text}`)
  return parsePage(text)
}

function parsePage(text: string): MetricsPage {
  const page: MetricsPage = { text, families: new Map(), series: new Map() }
  for (const line of text.split('\n')) {
    const [, kind, name = '', rest = ''] = /^# (HELP|TYPE) (\S+) (.*)$/.exec(line) ?? []
    const family = page.families.get(name) ?? { type: '', help: '', labels: new Set() }
    if (kind) page.families.set(name, family)
    if (kind === 'HELP') family.help = rest
    if (kind === 'TYPE') family.type = rest
    if (!kind && line !== '') noteSeries(page, line)
  }
  return page
}

function noteSeries({ families, series }: MetricsPage, line: string): void {
  const [, id = '', name = '', labels = '', value] = /^((\w+)(?:\{(.*)\})?) (\S+)$/.exec(line) ?? []
  if (value === undefined) throw new Error(`not a line of metrics: ${line}`)
  series.set(id, value === '+Inf' ? Number.POSITIVE_INFINITY : Number(value))
  const family = families.get(name) ?? families.get(name.replace(/_(bucket|sum|count)$/, ''))
  if (!family) throw new Error(`a series without a family: ${line}`)
  for (const [, label = ''] of labels.matchAll(/(\w+)="/g)) if (label !== 'le') family.labels.add(label)
}
