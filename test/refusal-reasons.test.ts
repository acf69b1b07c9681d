import { readdirSync, readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { DENIAL_CODES } from '../src/gateway/denial.ts'
import { ENVOY_DETAILS } from '../src/gateway/envoy-details.ts'
import { meaningOf, REFUSAL_REASONS } from '../src/refusal-reasons.ts'

const root = new URL('../', import.meta.url)
const read = (path: string) => readFileSync(new URL(path, root), 'utf8')
const below = (folder: string) =>
  readdirSync(new URL(folder, root), { recursive: true, withFileTypes: true })
    .filter(entry => entry.isFile())
    .map(({ parentPath, name }) => readFileSync(`${parentPath}/${name}`, 'utf8'))

/** What refuses: the service, and the templates of gateway files. */
const sources = [...below('src/'), ...below('deploy/generate/')]
  .filter(text => !text.startsWith('/**\n * Why requests are refused, by what decided'))
  .join('\n')
const page = read('docs/guides/troubleshooting.md')
/** The rows of the table of reasons. */
const rows = [...page.matchAll(/^\| `([a-z_]+)` \| ([a-z]+) \| (.+) \|$/gm)]

/** Gateways by their name in the table, with the reasons of each status. */
const byGateway = [...page.matchAll(/^\| ([A-Z][^|]*|nginx) \| (\d{3}) \| (.+) \|$/gm)].map(
  ([, gateway = '', status = '', reasons = '']) => ({
    gateway,
    status,
    reasons: [...reasons.matchAll(/`([a-z_]+)`/g)].map(([, code = '']) => code),
  }),
)

describe('the table of gateways', () => {
  it('has every status of each gateway, with reasons of the list', () => {
    const gateways = Map.groupBy(byGateway, ({ gateway }) => gateway)
    expect(gateways.size).toBe(8)
    for (const rows of gateways.values())
      expect(rows.map(({ status }) => status)).toEqual(['401', '403', '429', '503'])
    const named = byGateway.flatMap(({ reasons }) => reasons)
    expect(named.filter(code => !REFUSAL_REASONS.includes(code))).toEqual([])
  })

  it('has every reason for which the check or the files for Envoy and nginx refuse', () => {
    const named = new Set(byGateway.flatMap(({ reasons }) => reasons))
    const codes = [...DENIAL_CODES, ...ENVOY_DETAILS.map(([, reason]) => reason)]
    const elsewhere = ['invalid_api_key', 'invalid_token', 'model_missing', 'invalid_body']
    expect([...new Set(codes)].filter(code => !named.has(code) && !elsewhere.includes(code))).toEqual([])
  })

  it('has what Envoy says of each reason', () => {
    const found = [...page.matchAll(/^\| `([^`]+)` \| `([a-z_]+)` \|$/gm)].map(([, text, reason]) => [
      text,
      reason,
    ])
    expect(found).toEqual(ENVOY_DETAILS.map(pair => [...pair]))
  })
})

describe('the list of reasons', () => {
  it('has what the service and the gateway files use, and nothing else', () => {
    expect(REFUSAL_REASONS.length).toBeGreaterThan(50)
    expect(REFUSAL_REASONS.filter(code => !new RegExp(`\\b${code}\\b`).test(sources))).toEqual([])
  })

  it('has every code of a denial that is not one for several reasons', () => {
    const general = ['invalid_api_key', 'invalid_token']
    expect(DENIAL_CODES.filter(code => !REFUSAL_REASONS.includes(code))).toEqual(general)
  })

  it('has for each what was wrong, then the cure', () => {
    for (const code of REFUSAL_REASONS) expect(meaningOf(code)?.text, code).toMatch(/^[A-Z`].{15,}[.]$/)
  })

  it('is the table in the guide, with the same words, in the same order', () => {
    expect(rows.map(([, code]) => code)).toEqual(REFUSAL_REASONS)
    for (const [, code = '', subject, text] of rows)
      expect({ subject, text: text?.replaceAll('`', '') }, code).toEqual({
        subject: meaningOf(code)?.decidedBy,
        text: meaningOf(code)?.text.replaceAll('`', ''),
      })
  })
})
