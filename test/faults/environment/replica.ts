import { randomBytes, randomUUID } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { Agent, request } from 'node:http'
import { formatCredential, randomId } from '../../../src/api-keys/api-key.ts'
import { systemRandom } from '../../../src/system/random.ts'
import {
  fileOutput,
  type ServiceProcess,
  type ServiceUrls,
  startProcessTo,
} from '../../support/service-process.ts'
import { until } from '../../support/until.ts'

const ROOT_TOKEN = `root-${randomBytes(24).toString('hex')}`
export const PEPPERS = `p1:${randomBytes(32).toString('base64url')}`
/** The configuration shared by all replicas of one run, as in production. */
export const ENVIRONMENT = {
  NODE_ENV: 'production',
  MINTMARK_ISSUER: 'https://tokens.example.test',
  MINTMARK_PUBLIC_PORT: '0',
  MINTMARK_ADMIN_PORT: '0',
  MINTMARK_GATEWAY_PORT: '0',
  MINTMARK_GATEWAY_GRPC_PORT: '0',
  MINTMARK_OPS_PORT: '0',
  // Probes from one address get many rejections; F25 measures the default limit.
  MINTMARK_FAILURES_PER_MINUTE: '1000000',
  MINTMARK_ROOT_TOKEN: ROOT_TOKEN,
  MINTMARK_PEPPERS: PEPPERS,
  MINTMARK_ENCRYPTION_KEYS: `e1:${randomBytes(32).toString('base64url')}`,
}

export const ADMIN_HEADERS = { authorization: `Bearer ${ROOT_TOKEN}`, 'content-type': 'application/json' }
export const FORM_HEADERS = { 'content-type': 'application/x-www-form-urlencoded' }

/** A response and its duration. Status 0: no response. */
export interface Answer {
  status: number
  ms: number
  headers: Record<string, string | string[] | undefined>
  text: string
  // biome-ignore lint/suspicious/noExplicitAny: responses of every shape are read
  body: any
}

/** A Mintmark process, with requests over kept connections. */
export interface Replica {
  process: ServiceProcess
  urls: ServiceUrls
  admin(method: string, path: string, body?: object, headers?: Record<string, string>): Promise<Answer>
  /** A POST that is repeated under one Idempotency-Key until it is answered, as the API recommends. */
  change(path: string, body: object): Promise<Answer>
  exchange(secret: string, extra?: Record<string, string>): Promise<Answer>
  get(url: string, headers?: Record<string, string>): Promise<Answer>
}

const agent = new Agent({ keepAlive: true })

/** Of this build, unless `file` is another's. */
export function startReplicaProcess(
  databaseUrl: string,
  env: Record<string, string> = {},
  output = fileOutput(),
  ...file: string[]
): ServiceProcess {
  return startProcessTo(output, { ...ENVIRONMENT, DATABASE_URL: databaseUrl, ...env }, ...file)
}

export function residentBytes(replica: Replica): number {
  const [, kilobytes] =
    /VmRSS:\s+(\d+) kB/.exec(readFileSync(`/proc/${replica.process.pid}/status`, 'utf8')) ?? []
  return Number(kilobytes) * 1024
}

/** CPU time that the process has used so far, in milliseconds. */
export function cpuMs(pid: number): number {
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
  // After the name in brackets, in ticks of 10 ms: utime and stime (proc(5)).
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  return (Number(fields[11]) + Number(fields[12])) * 10
}

export function replicaAt(process: ServiceProcess, urls: Replica['urls']): Replica {
  return {
    process,
    urls,
    admin: (method, path, body, headers) =>
      call(`${urls.admin}/admin/v1${path}`, {
        method,
        headers: { ...ADMIN_HEADERS, ...headers },
        body: body && JSON.stringify(body),
      }),
    change: (path, body) => {
      const headers = { ...ADMIN_HEADERS, 'idempotency-key': randomUUID() }
      const attempt = () =>
        call(`${urls.admin}/admin/v1${path}`, { method: 'POST', headers, body: JSON.stringify(body) })
      return until(
        `POST ${path} is answered`,
        attempt,
        ({ status }) => ![0, 409, 503].includes(status),
        60_000,
      )
    },
    exchange: (secret, extra) =>
      call(`${urls.public}/oauth/token`, {
        method: 'POST',
        headers: FORM_HEADERS,
        body: exchangeForm(secret, extra),
      }),
    get: (url, headers = {}) => call(url, { method: 'GET', headers, body: undefined }),
  }
}

export const exchangeForm = (client_secret: string, extra: Record<string, string> = {}): string =>
  new URLSearchParams({ grant_type: 'client_credentials', client_secret, ...extra }).toString()

/** Well-formed and unknown. */
export const unknownKey = (): string => formatCredential('mmk', randomId(systemRandom), systemRandom)

function call(
  url: string,
  options: { method: string; headers: Record<string, string>; body: string | undefined },
): Promise<Answer> {
  const begin = performance.now()
  const { method, body } = options
  const headers = body
    ? { ...options.headers, 'content-length': String(Buffer.byteLength(body)) }
    : options.headers
  return new Promise(resolve => {
    const end = (status: number, text: string, received: Answer['headers']) => {
      const isJson = text.startsWith('{')
      resolve({
        status,
        ms: performance.now() - begin,
        headers: received,
        text,
        body: isJson ? JSON.parse(text) : undefined,
      })
    }
    const sent = request(url, { method, headers, agent, timeout: 30_000 }, answer => {
      const chunks: Buffer[] = []
      answer.on('data', chunk => chunks.push(chunk))
      answer.once('end', () =>
        end(answer.statusCode ?? 0, Buffer.concat(chunks).toString('utf8'), answer.headers),
      )
      answer.once('error', error => end(0, error.message, {}))
    })
    sent.once('timeout', () => sent.destroy(new Error('no answer within 30 s')))
    sent.once('error', error => end(0, error.message, {})).end(body)
  })
}
