import { readFileSync, writeFileSync } from 'node:fs'
import { CLIENTS, type Client, type Result } from './clients.ts'
import type { Attempt } from './counting-proxy.ts'
import type { Situation } from './situations.ts'

/** What one client got at one gateway. */
interface Found {
  client: Client
  gateway: string
  situation: Situation
  result: Result
  attempts: readonly Attempt[]
}

const PAGE = new URL('../../../docs/client-errors.md', import.meta.url)
const MARKED = /(?<=<!-- clients -->\n)[\s\S]*(?=<!-- \/clients -->)/

/** The results of a run: a table for each gateway on the terminal, and those of docs/client-errors.md. */
export class Page {
  readonly #found: Found[] = []

  add(found: Found): void {
    this.#found.push(found)
  }

  /** Of each gateway: what the clients raised, and the statuses of their requests. */
  print(gateways: readonly string[]): void {
    for (const gateway of gateways) {
      const here = this.#found.filter(found => found.gateway === gateway)
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
    return [...Map.groupBy(this.#found, ({ situation }) => situation.name)]
      .map(([name, found]) => `\n## ${name}\n\n${tableOf(found)}\n`)
      .join('')
      .concat('\n')
  }
}

const cellOf = (found: readonly Found[]) =>
  found.map(({ result, attempts }) => `${result.raised ?? 'answer'} (${statusesOf(attempts)})`).join(', ')

const statusesOf = (attempts: readonly Attempt[]) => attempts.map(({ status }) => status || 'none').join(', ')

/** Gateways with the same result share a row. */
function tableOf(found: readonly Found[]): string {
  const rows = Map.groupBy(found, ({ client, result, attempts }) => {
    const printed = result.raised === null ? '' : code(result.printed)
    return `| ${client} | ${result.raised === null ? 'an answer' : `\`${result.raised}\``} | ${statusesOf(attempts)} | ${printed} |`
  })
  const order = [...rows].toSorted(
    ([, [a]], [, [b]]) => CLIENTS.indexOf(a?.client as Client) - CLIENTS.indexOf(b?.client as Client),
  )
  const gatewaysOf = (those: readonly Found[]) =>
    [...new Set(those.map(({ gateway, situation }) => `${gateway} (${situation.kind})`))].join(', ')
  return [
    '| client | raises | statuses of its requests | prints | at |',
    '| --- | --- | --- | --- | --- |',
    ...order.map(([row, those]) => `${row} ${gatewaysOf(those)} |`),
  ].join('\n')
}

/** On one line, without what differs between two runs. */
function code(printed: string): string {
  const text = printed
    .replaceAll(/\s+/g, ' ')
    .replaceAll('|', '\\|')
    .replaceAll(/127\.0\.0\.1:\d+/g, 'gateway')
  return `\`${text}\``
}
