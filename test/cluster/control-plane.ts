import { execFileSync, spawn } from 'node:child_process'
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { startProgram } from '../istiod/programs.ts'
import { until } from '../support/until.ts'
import { ClusterApi } from './cluster-api.ts'
import { HOST, SERVICES } from './network.ts'
import { DEFINITIONS, PROGRAMS } from './programs.ts'

const PORT = 6443
const ADMIN = 'administrator-of-the-suite'
const PATIENCE_MS = 120_000

export interface ControlPlane {
  api: ClusterApi
  /** A file with the rights of its administrator. */
  kubeconfig: string
  /** Runs kubectl, with `input` on standard input. */
  kubectl(args: string[], input?: string): Promise<Ran>
  helm(args: string[], input?: string): Promise<Ran>
}

export interface Ran {
  ok: boolean
  stdout: string
  output: string
}

/** Starts etcd, the API server, the controllers and the scheduler, and creates the definitions of custom resources. */
export async function startControlPlane(
  folder: string,
  onEnd: (end: () => unknown) => void,
): Promise<ControlPlane> {
  const files = makeFiles(folder)
  const start = (file: string, args: string[]) => {
    const program = startProgram(folder, file, args)
    onEnd(() => program.stop())
    return program
  }
  const local = 'http://127.0.0.1:2379'
  const peers = 'http://127.0.0.1:2380'
  start(PROGRAMS.etcd, [
    ...[
      `--data-dir=${join(folder, 'etcd')}`,
      `--listen-client-urls=${local}`,
      `--advertise-client-urls=${local}`,
    ],
    ...[`--listen-peer-urls=${peers}`, '--log-level=warn', '--unsafe-no-fsync'],
  ])
  const server = start(PROGRAMS.apiServer, [
    ...[
      `--etcd-servers=${local}`,
      `--bind-address=${HOST}`,
      `--advertise-address=${HOST}`,
      `--secure-port=${PORT}`,
    ],
    ...[
      `--tls-cert-file=${files.certificate}`,
      `--tls-private-key-file=${files.key}`,
      `--client-ca-file=${files.ca}`,
    ],
    ...[
      `--token-auth-file=${files.tokens}`,
      '--authorization-mode=RBAC',
      `--service-cluster-ip-range=${SERVICES}`,
    ],
    '--service-account-issuer=https://kubernetes.default.svc.cluster.local',
    ...[
      `--service-account-signing-key-file=${files.accountKey}`,
      `--service-account-key-file=${files.accountKey}`,
    ],
  ])
  const api = new ClusterApi(HOST, PORT, files.ca, ADMIN)
  onEnd(() => api.close())
  const ready = () =>
    api.get('/readyz').catch((error: Error) => `${error.message}\n${server.log().slice(-2_000)}`)
  await until('the API server is ready', ready, answer => answer === 'ok', PATIENCE_MS)
  start(PROGRAMS.controllers, [
    ...[`--kubeconfig=${files.kubeconfig}`, '--leader-elect=false', '--bind-address=127.0.0.1'],
    ...[`--service-account-private-key-file=${files.accountKey}`, `--root-ca-file=${files.ca}`],
    // The node of the suite sends no heartbeats.
    '--controllers=*,-node-lifecycle-controller,-node-ipam-controller',
  ])
  start(PROGRAMS.scheduler, [
    ...[`--kubeconfig=${files.kubeconfig}`, '--leader-elect=false', '--bind-address=127.0.0.1'],
  ])
  const env = { PATH: process.env.PATH, HOME: folder, KUBECONFIG: files.kubeconfig }
  const kubectl = (args: string[], input?: string) => run(PROGRAMS.kubectl, args, env, input)
  const created = await kubectl(['apply', '--server-side', '--filename', DEFINITIONS])
  if (!created.ok) throw new Error(created.output)
  const established = await kubectl(['wait', '--for=condition=Established', 'crd', '--all', '--timeout=60s'])
  if (!established.ok) throw new Error(established.output)
  return {
    api,
    kubeconfig: files.kubeconfig,
    kubectl,
    helm: (args, input) => run(PROGRAMS.helm, args, env, input),
  }
}

/** Without blocking the event loop: helm waits for pods, which this process runs. */
async function run(file: string, args: string[], env: NodeJS.ProcessEnv, input = ''): Promise<Ran> {
  const child = spawn(file, args, { env })
  let stdout = ''
  let output = ''
  child.stdout.setEncoding('utf8').on('data', text => {
    stdout += text
    output += text
  })
  child.stderr.setEncoding('utf8').on('data', text => {
    output += text
  })
  child.stdin.end(input)
  const code = await new Promise(resolve => child.once('close', resolve))
  return { ok: code === 0, stdout, output }
}

function makeFiles(folder: string) {
  const at = (name: string) => join(folder, name)
  mkdirSync(at('etcd'))
  const openssl = (...words: string[]) => execFileSync('openssl', words, { cwd: folder, stdio: 'pipe' })
  const request = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes']
  openssl(
    'req',
    '-x509',
    ...request,
    '-keyout',
    'ca.key',
    '-out',
    'ca.crt',
    '-subj',
    '/CN=suite',
    '-days',
    '2',
  )
  openssl('req', ...request, '-keyout', 'api.key', '-out', 'api.csr', '-subj', '/CN=kube-apiserver')
  writeFileSync(at('names'), `subjectAltName=IP:${HOST},IP:10.96.0.1,DNS:kubernetes.default.svc\n`)
  const sign = ['-CA', 'ca.crt', '-CAkey', 'ca.key', '-CAcreateserial', '-days', '2', '-extfile', 'names']
  openssl('x509', '-req', '-in', 'api.csr', '-out', 'api.crt', ...sign)
  openssl('genrsa', '-out', 'accounts.key', '2048')
  writeFileSync(at('tokens.csv'), `${ADMIN},admin,admin,"system:masters"\n`)
  const config = {
    apiVersion: 'v1',
    kind: 'Config',
    clusters: [
      {
        name: 'suite',
        cluster: { server: `https://${HOST}:${PORT}`, 'certificate-authority': at('ca.crt') },
      },
    ],
    users: [{ name: 'admin', user: { token: ADMIN } }],
    contexts: [{ name: 'suite', context: { cluster: 'suite', user: 'admin' } }],
    'current-context': 'suite',
  }
  // JSON is YAML.
  writeFileSync(at('kubeconfig'), JSON.stringify(config))
  return {
    ca: at('ca.crt'),
    certificate: at('api.crt'),
    key: at('api.key'),
    accountKey: at('accounts.key'),
    tokens: at('tokens.csv'),
    kubeconfig: at('kubeconfig'),
  }
}
