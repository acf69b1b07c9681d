import { execFile } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { homedir, tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { type Program, startProgram } from '../istiod/programs.ts'
import { type Certificate, makeAuthority, makeCertificate } from '../support/certificates.ts'
import { freePort } from '../support/free-port.ts'
import { until } from '../support/until.ts'

const CACHE = process.env.MINTMARK_CACHE ?? join(homedir(), '.cache', 'mintmark')
const folder = (existsSync(CACHE) ? readdirSync(CACHE) : []).findLast(name => name.startsWith('spire-'))
const SERVER = join(CACHE, folder ?? 'spire-', 'spire-server')
const AGENT = join(CACHE, folder ?? 'spire-', 'spire-agent')
const START_MS = 60_000

/** Why the suite cannot run; undefined when it can. */
export const missingPrograms = (): string | undefined =>
  existsSync(SERVER) && existsSync(AGENT) ? undefined : 'no SPIRE; run scripts/install-spire.sh'

export const TRUST_DOMAIN = 'example.org'

/** A server and an agent of SPIRE on this machine. */
export interface Spire {
  /** Of its bundle endpoint (the profile https_web of the SPIFFE Federation specification). */
  bundleUrl: string
  bundlePort: number
  /** That signed the certificate of the bundle endpoint. */
  authority: Certificate
  /** Lets the workloads of this user have an identity. */
  addEntry(path: string): Promise<void>
  /** A JWT-SVID from the Workload API, as a workload gets it. */
  svid(path: string, audience: string): Promise<string>
  /** SPIRE's own rotation: a new key is published, then it signs. */
  prepareKey(): Promise<string>
  activateKey(id: string): Promise<void>
}

export async function startSpire(onEnd: (end: () => unknown) => void): Promise<Spire> {
  const root = mkdtempSync(join(tmpdir(), 'mintmark-spire-'))
  onEnd(() => rmSync(root, { recursive: true, force: true }))
  const [port, bundlePort, health] = [await freePort(), await freePort(), await freePort()]
  const authority = makeAuthority('bundles')
  const named = { name: 'bundle', authorityName: 'bundles', dnsNames: ['localhost'] }
  const { certificate, key } = makeCertificate(authority, named)
  for (const [name, content] of Object.entries({ 'bundle.crt': certificate, 'bundle.key': key }))
    writeFileSync(join(root, name), content, { mode: 0o600 })
  for (const name of ['server', 'agent']) mkdirSync(join(root, name))
  writeFileSync(join(root, 'server.conf'), serverConfiguration(root, port, bundlePort, health))
  const server = startProgram(root, SERVER, ['run', '-config', join(root, 'server.conf')])
  onEnd(() => server.stop())
  const socket = join(root, 'server.sock')
  const admin = (...words: string[]) => run(SERVER, [...words, '-socketPath', socket])
  await until('SPIRE serves', () => healthOf(socket, server, SERVER), isHealthy, START_MS)

  const parent = `spiffe://${TRUST_DOMAIN}/agent`
  const { value: joinToken } = JSON.parse(
    await admin('token', 'generate', '-spiffeID', parent, '-output', 'json'),
  )
  writeFileSync(join(root, 'agent.conf'), agentConfiguration(root, port))
  const agent = startProgram(root, AGENT, [
    'run',
    '-config',
    join(root, 'agent.conf'),
    '-joinToken',
    joinToken,
  ])
  onEnd(() => agent.stop())
  const workloadApi = join(root, 'agent.sock')
  await until('its agent serves', () => healthOf(workloadApi, agent, AGENT), isHealthy, START_MS)
  return {
    bundleUrl: `https://localhost:${bundlePort}/`,
    bundlePort,
    authority,
    addEntry: async path => {
      const selector = `unix:uid:${process.getuid?.() ?? 0}`
      const id = `spiffe://${TRUST_DOMAIN}${path}`
      await admin('entry', 'create', '-parentID', parent, '-spiffeID', id, '-selector', selector)
    },
    svid: (path, audience) =>
      until(
        `an identity for ${path}`,
        () => fetchSvid(workloadApi, path, audience).catch(() => ''),
        Boolean,
        START_MS,
      ),
    prepareKey: async () => {
      const { prepared_authority: prepared } = JSON.parse(
        await admin('localauthority', 'jwt', 'prepare', '-output', 'json'),
      )
      return prepared.authority_id
    },
    activateKey: async id => {
      await admin('localauthority', 'jwt', 'activate', '-authorityID', id)
    },
  }
}

async function fetchSvid(socket: string, path: string, audience: string): Promise<string> {
  const id = `spiffe://${TRUST_DOMAIN}${path}`
  const words = ['-audience', audience, '-spiffeID', id, '-socketPath', socket, '-output', 'json']
  const answers = JSON.parse(await run(AGENT, ['api', 'fetch', 'jwt', ...words]))
  return answers[0].svids[0].svid
}

/** What its own command says, or the end of its log. */
async function healthOf(socket: string, { log }: Program, file: string): Promise<string> {
  const end = () => log().slice(-2_000)
  return existsSync(socket) ? run(file, ['healthcheck', '-socketPath', socket]).catch(end) : end()
}
const isHealthy = (text: string) => text.includes(' is healthy')

const run = async (file: string, args: string[]): Promise<string> =>
  (await promisify(execFile)(file, args, { encoding: 'utf8' })).stdout

const serverConfiguration = (root: string, port: number, bundlePort: number, health: number) => `
server {
  bind_address = "127.0.0.1"
  bind_port = "${port}"
  socket_path = "${join(root, 'server.sock')}"
  trust_domain = "${TRUST_DOMAIN}"
  data_dir = "${join(root, 'server')}"
  federation {
    bundle_endpoint {
      address = "127.0.0.1"
      port = ${bundlePort}
      profile "https_web" {
        serving_cert_file {
          cert_file_path = "${join(root, 'bundle.crt')}"
          key_file_path = "${join(root, 'bundle.key')}"
          file_sync_interval = "1h"
        }
      }
    }
  }
}
plugins {
  DataStore "sql" {
    plugin_data { database_type = "sqlite3", connection_string = "${join(root, 'server', 'data.sqlite3')}" }
  }
  NodeAttestor "join_token" { plugin_data {} }
  KeyManager "memory" { plugin_data {} }
}
health_checks { listener_enabled = true, bind_address = "127.0.0.1", bind_port = "${health}" }
`

const agentConfiguration = (root: string, port: number) => `
agent {
  data_dir = "${join(root, 'agent')}"
  server_address = "127.0.0.1"
  server_port = "${port}"
  socket_path = "${join(root, 'agent.sock')}"
  trust_domain = "${TRUST_DOMAIN}"
  insecure_bootstrap = true
}
plugins {
  NodeAttestor "join_token" { plugin_data {} }
  KeyManager "memory" { plugin_data {} }
  WorkloadAttestor "unix" { plugin_data {} }
}
`
