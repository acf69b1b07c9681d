import { existsSync, mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { homedir, tmpdir } from 'node:os'
import { join } from 'node:path'
import { type Program, startProgram } from '../istiod/programs.ts'
import { freePort } from '../support/free-port.ts'
import { until } from '../support/until.ts'

const CACHE = process.env.MINTMARK_CACHE ?? join(homedir(), '.cache', 'mintmark')
const folder = (existsSync(CACHE) ? readdirSync(CACHE) : []).findLast(name => name.startsWith('clickhouse-'))
const PYTHON = join(CACHE, folder ?? 'clickhouse-', 'bin', 'python')
const SERVER = new URL('clickhouse_http.py', import.meta.url).pathname

/** There is none from scripts/install-clickhouse.sh. */
export const noClickHouse = !existsSync(PYTHON)

export interface ClickHouse {
  /** Its HTTP interface. */
  url: string
  user: string
  password: string
  /** The rows of one statement. */
  sql(statement: string): Promise<Record<string, string | number>[]>
  /** `kill -9`. */
  kill(): Promise<void>
  /** Again, with what it has on disk. */
  start(): Promise<void>
  stop(): Promise<void>
}

/** ClickHouse's engine behind its HTTP interface, as clickhouse_http.py says; not started. */
export async function makeClickHouse(): Promise<ClickHouse> {
  const home = mkdtempSync(join(tmpdir(), 'mintmark-clickhouse-'))
  const port = await freePort()
  const [url, user, password] = [`http://127.0.0.1:${port}`, 'mintmark_usage', 'a-password-of-the-test']
  let program: Program | undefined
  return {
    ...{ url, user, password },
    sql: async statement => {
      const answer = await fetch(`${url}/?default_format=JSONEachRow`, {
        method: 'POST',
        headers: { authorization: `Basic ${btoa(`${user}:${password}`)}` },
        body: statement,
      })
      const text = await answer.text()
      if (!answer.ok) throw new Error(text)
      return text
        .split('\n')
        .filter(Boolean)
        .map(line => JSON.parse(line))
    },
    kill: async () => program?.stop(),
    start: async () => {
      const started = startProgram(home, PYTHON, [SERVER, String(port), join(home, 'data'), user, password])
      program = started
      await until('ClickHouse answers', () => fetch(url), Boolean, 60_000).catch(error => {
        throw new Error(`it does not start: ${started.log().slice(-4_000)}`, { cause: error })
      })
    },
    stop: async () => {
      await program?.stop()
      rmSync(home, { recursive: true, force: true })
    },
  }
}
