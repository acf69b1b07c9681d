import { CLAIM_HEADERS, isStripped, MODEL_HEADER } from '../../../src/gateway/headers.ts'
import { MODEL, TENANT } from '../installation.ts'
import type { Seen } from './engine.ts'
import { isForged } from './header-forms.ts'

/** What the engine must read for the tenant of the tests. */
const CLAIMS: Record<string, string> = {
  tenant: TENANT,
  tier: 'standard',
  priority: '0',
  adapter_list: 'none',
}
const EXPECTED = new Map<string, string>([
  ...CLAIM_HEADERS.map(({ claim, header }) => [header, CLAIMS[claim] ?? ''] as const),
  [MODEL_HEADER, MODEL],
])

/** What a request with these headers would have the engine do that the gateway did not check; empty when nothing. */
export function headerFaults({ headers }: Seen): string[] {
  const faults: string[] = []
  const found = new Map<string, string[]>()
  for (const [name, value] of headers) {
    const read = normalized(name)
    found.set(read, [...(found.get(read) ?? []), value])
    if (/mmk_|eyJ/.test(value)) faults.push(`a credential in ${name}`)
    if (!isStripped(read)) continue
    if (isForged(value)) faults.push(`${name}: ${value.slice(0, 60)}`)
    else if (!EXPECTED.has(read)) faults.push(`${name}, which nobody sets`)
  }
  for (const [name, value] of EXPECTED) {
    const values = found.get(name)
    if (name === MODEL_HEADER && !values) continue
    if (values?.length !== 1 || values[0] !== value)
      faults.push(`${name} is ${JSON.stringify(values)}, not ${value}`)
  }
  return faults
}

/** As anything behind the gateway could read it. */
const normalized = (name: string) =>
  name
    .replaceAll(/[^!-~]/g, '')
    .toLowerCase()
    .replaceAll('_', '-')

/** The fault of a body that reached the engine; undefined when there is none. */
export function bodyFault({ reads, model, headers }: Seen): string | undefined {
  // The engine refuses it: nothing is served.
  if (!reads) return undefined
  if (model !== MODEL) return `the engine reads the model ${JSON.stringify(model)}`
  const checked = headers.find(([name]) => name.toLowerCase() === MODEL_HEADER)?.[1]
  return checked !== undefined && checked !== MODEL ? `the gateway checked ${checked}` : undefined
}
