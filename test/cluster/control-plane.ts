import { type ChildProcess, spawn } from 'node:child_process'
import { generateKeyPairSync, randomBytes } from 'node:crypto'
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { homedir, tmpdir } from 'node:os'
import { join } from 'node:path'
import { until } from '../support/until.ts'
import { ApiServer } from './api-server.ts'

const CACHE = process.env.MINTMARK_CACHE ?? join(homedir(), '.cache', 'mintmark')
/** What scripts/install-cluster-tools.sh leaves. */
export const KUBERNETES = join(
  CACHE,
  readdirSync(CACHE).findLast(name => name.startsWith('kubernetes-')) ?? 'kubernetes',
)
export const HELM = join(CACHE, 'bin', 'helm')
export const KUBECTL = join(CACHE, 'bin', 'kubectl')

/** Empty when the suite can run, else what is missing. */
export const missingTools = (): string[] =>
  [
    HELM,
    KUBECTL,
    join(KUBERNETES, 'kube-apiserver'),
    join(KUBERNETES, 'kube-controller-manager'),
    '/usr/bin/etcd',
  ].filter(file => !existsSync(file))

export interface ControlPlane {
  api: ApiServer
  /** For kubectl and Helm. */
  kubeconfig: string
  folder: string
  /** What the processes printed, for a failure. */
  logs(): string
  stop(): Promise<void>
}

/**
 * etcd, kube-apiserver and kube-controller-manager as processes: everything of a control plane that decides about objects.
 * There is no scheduler and no kubelet: node.ts runs pods.
 */
export async function startControlPlane(): Promise<ControlPlane> {
  const folder = mkdtempSync(join(tmpdir(), 'mintmark-cluster-'))
  const children: ChildProcess[] = []
  const start = (program: string, args: string[]) => {
    const log = openSync(join(folder, `${program.split('/').pop()}.log`), 'a')
    const child = spawn(program, args, {
      stdio: ['ignore', log, log],
      env: { PATH: process.env.PATH, HOME: folder },
    })
    children.push(child)
    return child
  }
  const stop = async () => {
    for (const child of children.toReversed()) {
      if (child.exitCode !== null || child.signalCode !== null) continue
      const ended = new Promise(resolve => child.once('exit', resolve))
      child.kill('SIGKILL')
      await ended
    }
    rmSync(folder, { recursive: true, force: true })
  }
  const token = randomBytes(24).toString('hex')
  const url = 'https://127.0.0.1:6443'
  const api = new ApiServer(url, token)
  const { kubeconfig, keys } = writeFiles(folder, url, token)
  const logs = () =>
    readdirSync(folder)
      .filter(name => name.endsWith('.log'))
      .map(name => `${name}:\n${readFileSync(join(folder, name), 'utf8').split('\n').slice(-15).join('\n')}`)
      .join('\n')
  try {
    start('/usr/bin/etcd', [
      ...['--data-dir', join(folder, 'etcd'), '--log-level', 'error'],
      ...[
        '--listen-client-urls',
        'http://127.0.0.1:2379',
        '--advertise-client-urls',
        'http://127.0.0.1:2379',
      ],
      ...['--listen-peer-urls', 'http://127.0.0.1:2380'],
    ])
    start(join(KUBERNETES, 'kube-apiserver'), [
      '--etcd-servers=http://127.0.0.1:2379',
      '--bind-address=127.0.0.1',
      '--advertise-address=127.0.0.1',
      '--secure-port=6443',
      `--cert-dir=${join(folder, 'certificates')}`,
      `--token-auth-file=${join(folder, 'tokens.csv')}`,
      '--authorization-mode=RBAC',
      '--service-account-issuer=https://kubernetes.default.svc.cluster.local',
      `--service-account-signing-key-file=${keys.private}`,
      `--service-account-key-file=${keys.public}`,
      '--service-cluster-ip-range=10.96.0.0/16',
      '--endpoint-reconciler-type=none',
    ])
    const ready = async () => (await api.call('GET', '/readyz').catch(() => '')) === 'ok'
    await until('the API server is ready', ready, Boolean, 120_000)
    start(join(KUBERNETES, 'kube-controller-manager'), [
      `--kubeconfig=${kubeconfig}`,
      '--leader-elect=false',
      `--service-account-private-key-file=${keys.private}`,
      '--controllers=*,-nodelifecycle,-node-ipam-controller',
      '--secure-port=0',
    ])
    const account = () =>
      api.call('GET', '/api/v1/namespaces/default/serviceaccounts/default').catch(() => undefined)
    await until('the controllers work', account, Boolean, 120_000)
  } catch (error) {
    const printed = logs()
    await stop()
    throw new Error(`${(error as Error).message}\n${printed}`)
  }
  return { api, kubeconfig, folder, logs, stop }
}

function writeFiles(folder: string, url: string, token: string) {
  mkdirSync(join(folder, 'certificates'))
  writeFileSync(join(folder, 'tokens.csv'), `${token},administrator,administrator,"system:masters"\n`)
  const { privateKey, publicKey } = generateKeyPairSync('rsa', {
    modulusLength: 2048,
    privateKeyEncoding: { type: 'pkcs8', format: 'pem' },
    publicKeyEncoding: { type: 'spki', format: 'pem' },
  })
  const keys = { private: join(folder, 'accounts.key'), public: join(folder, 'accounts.pub') }
  writeFileSync(keys.private, privateKey)
  writeFileSync(keys.public, publicKey)
  const kubeconfig = join(folder, 'kubeconfig')
  // JSON is YAML.
  const config = {
    apiVersion: 'v1',
    kind: 'Config',
    clusters: [{ name: 'suite', cluster: { server: url, 'insecure-skip-tls-verify': true } }],
    users: [{ name: 'administrator', user: { token } }],
    contexts: [{ name: 'suite', context: { cluster: 'suite', user: 'administrator' } }],
    'current-context': 'suite',
  }
  writeFileSync(kubeconfig, JSON.stringify(config))
  return { kubeconfig, keys }
}
