import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { CLIENTS, type Client, type Result } from './clients.ts'
import type { Attempt } from './counting-proxy.ts'
import { PHASES, type Situation } from './situations.ts'

/** What one client got. */
export interface Found {
  client: Client
  situation: Situation
  result: Result
  attempts: readonly Attempt[]
}

const PAGE = new URL('../../../docs/client-errors.md', import.meta.url)
const MARKED = /(?<=<!-- clients -->\n)[\s\S]*(?=<!-- \/clients -->)/

/** The results of a run: a table for each gateway on the terminal, and those of docs/client-errors.md. */
export class Page {
  readonly #found: FoundAt[] = []

  /** `at`: the gateway. */
  add(at: string, { client, situation, result, attempts }: Found): void {
    this.#found.push({ client, situation, result, attempts, at })
  }

  /** Adds the results of earlier runs at other gateways, which this file has, and keeps those of this run there too. */
  keepIn(file: string, order: readonly string[]): void {
    const earlier: FoundAt[] = existsSync(file) ? JSON.parse(readFileSync(file, 'utf8')) : []
    const here = new Set(this.#found.map(({ at }) => at))
    this.#found.push(...earlier.filter(({ at }) => !here.has(at)))
    // Without the questions, which contain credentials.
    writeFileSync(
      file,
      JSON.stringify(this.#found, (name, value) => (name === 'question' ? undefined : value)),
    )
    // The order of a run of all: by the phase, then by the gateway.
    const phases = [...new Set(this.#found.map(({ situation }) => situation.phase))].toSorted(
      (one, other) => PHASES.indexOf(one) - PHASES.indexOf(other),
    )
    const inOrder = phases.flatMap(phase =>
      order.flatMap(gateway =>
        this.#found.filter(({ at, situation }) => at === gateway && situation.phase === phase),
      ),
    )
    this.#found.splice(0, this.#found.length, ...inOrder)
  }

  /** The gateways that have results. */
  gateways(): Set<string> {
    return new Set(this.#found.map(({ at }) => at))
  }

  /** Of each gateway: what the clients raised, and the statuses of their requests. */
  print(gateways: readonly string[]): void {
    for (const gateway of gateways) {
      const here = this.#found.filter(({ at }) => at === gateway)
      console.log(`\n| ${gateway} | with | ${CLIENTS.join(' | ')} | slowest response |`)
      console.log(`| --- | --- |${' --- |'.repeat(CLIENTS.length + 1)}`)
      for (const each of Map.groupBy(
        here,
        ({ situation: { name, kind } }) => `${name} | ${kind}`,
      ).entries()) {
        const [row, found] = each
        const cells = CLIENTS.map(client => cellOf(found.filter(one => one.client === client)))
        const slowest = Math.max(...found.flatMap(({ attempts }) => attempts.map(({ ms }) => ms)))
        console.log(`| ${row} | ${cells.join(' | ')} | ${(slowest / 1_000).toFixed(1)} s |`)
      }
    }
  }

  /** Replaces the tables of the page. */
  write(): void {
    writeFileSync(
      PAGE,
      readFileSync(PAGE, 'utf8').replace(MARKED, () => this.#text()),
    )
  }

  isWritten(): boolean {
    return MARKED.exec(readFileSync(PAGE, 'utf8'))?.[0] === this.#text()
  }

  #text(): string {
    const situations = Map.groupBy(this.#found, ({ situation }) => situation.name)
    const outcomes = [...situations].map(
      ([name, found]) => `| ${name} | ${CLIENTS.map(client => outcomeOf(found, client)).join(' | ')} |`,
    )
    const refused = [...situations].filter(([, found]) => found.some(({ result }) => result.raised !== null))
    // Situations in which the same is printed share a table.
    const printed = Map.groupBy(refused, ([, found]) => tableOf(found))
    return [
      '',
      `| | ${CLIENTS.join(' | ')} |`,
      `| --- |${' --- |'.repeat(CLIENTS.length)}`,
      ...outcomes,
      ...[...printed].flatMap(([table, those]) => [
        '',
        `## ${those.map(([name]) => name).join('; ')}`,
        '',
        table,
      ]),
      '',
      '',
    ].join('\n')
  }
}

/** What the client raises, and the statuses of its requests; several where gateways differ. */
function outcomeOf(found: readonly FoundAt[], client: Client): string {
  const cells = found
    .filter(each => each.client === client)
    .map(
      ({ result, attempts }) =>
        `${result.raised === null ? 'answer' : `\`${result.raised}\``}: ${statusesOf(attempts)}`,
    )
  return [...new Set(cells)].join('; ')
}

const cellOf = (found: readonly Found[]) =>
  found.map(({ result, attempts }) => `${result.raised ?? 'answer'} (${statusesOf(attempts)})`).join(', ')

const statusesOf = (attempts: readonly Attempt[]) => attempts.map(({ status }) => status || 'none').join(', ')

type FoundAt = Found & { at: string }

/** What is printed, by whom and where. */
function tableOf(found: readonly FoundAt[]): string {
  const rows = CLIENTS.flatMap(client => {
    const of = found.filter(each => each.client === client)
    const texts = Map.groupBy(of, ({ result }) => code(result.printed))
    return [...texts].map(([text, those]) => ({ client, cells: `${text} | ${gatewaysOf(those, of)}` }))
  })
  const lines = [...Map.groupBy(rows, ({ cells }) => cells)].map(
    ([cells, those]) => `| ${those.map(({ client }) => client).join(', ')} | ${cells} |`,
  )
  return ['| client | prints | at |', '| --- | --- | --- |', ...lines].join('\n')
}

/** With the credentials, where others have another result. */
function gatewaysOf(those: readonly FoundAt[], all: readonly FoundAt[]): string {
  if (those.length === all.length) return 'all'
  const kindsAt = Map.groupBy(those, ({ at }) => at)
  return [...kindsAt]
    .map(([at, kinds]) => `${at} (${kinds.map(({ situation }) => situation.kind).join(', ')})`)
    .join(', ')
}

const MOST_PRINTED = 240

/** On one line, without what differs between two runs. */
function code(printed: string): string {
  const text = printed
    .replaceAll(/127\.0\.0\.1:\d+/g, 'gateway')
    .replaceAll(/\s+/g, ' ')
    .replaceAll('|', '\\|')
  const short = text.length > MOST_PRINTED ? `${text.slice(0, MOST_PRINTED)}…` : text
  return `\`\` ${short} \`\``
}
