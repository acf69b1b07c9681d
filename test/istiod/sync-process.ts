import { spawn } from 'node:child_process'
import { bundled } from '../support/bundled-source.ts'
import { freePort } from '../support/free-port.ts'
import { type Program, startProgram } from './programs.ts'

export interface SyncProcess {
  program: Program
  /** Of its port. */
  url: string
  /** The status and the text of a path of its port; status 0: no answer. */
  get(path: string): Promise<{ status: number; text: string }>
  /** The value of one of its metrics. */
  metric(name: string): Promise<number>
}

/** `mintmark sync` as its Deployment runs it. */
export async function startSync(
  folder: string,
  options: {
    istio: string
    kubeconfig: string
    intervalSeconds: number
    issuer: string
    /** The file of the policy, the URL of the xDS listener, and its token. */
    revocations?: { file: string; xds: string; token: string }
  },
): Promise<SyncProcess> {
  const port = await freePort()
  const { revocations } = options
  const list = revocations ? ['--revocations', revocations.file, '--xds', revocations.xds] : []
  const env = revocations ? { MINTMARK_XDS_TOKEN: revocations.token } : {}
  const words = [
    bundled('cli'),
    ...['sync', '--issuer', options.issuer, '--istio', options.istio, '--kubeconfig', options.kubeconfig],
    ...['--interval', String(options.intervalSeconds), '--host', '127.0.0.1', '--port', String(port)],
    ...list,
  ]
  const program = startProgram(folder, process.execPath, words, env)
  const url = `http://127.0.0.1:${port}`
  const get = async (path: string) => {
    const answer = await fetch(`${url}${path}`).catch(() => undefined)
    return { status: answer?.status ?? 0, text: (await answer?.text()) ?? '' }
  }
  const metric = async (name: string) => {
    const { text } = await get('/metrics')
    const line = text.split('\n').find(each => each.startsWith(`${name} `))
    return Number(line?.split(' ').at(-1))
  }
  return { program, url, get, metric }
}

export interface Outcome {
  code: number | null
  stdout: string
  stderr: string
}

/** Runs `mintmark …` until it ends; `killAfterMs`: or is killed. */
export async function runMintmark(
  args: string[],
  env: Record<string, string> = {},
  killAfterMs?: number,
): Promise<Outcome> {
  const child = spawn(process.execPath, [bundled('cli'), ...args], {
    env: { PATH: process.env.PATH, ...env },
    timeout: killAfterMs,
    killSignal: 'SIGKILL',
  })
  const texts = { stdout: '', stderr: '' }
  for (const name of ['stdout', 'stderr'] as const)
    child[name].on('data', chunk => {
      texts[name] += chunk
    })
  const code = await new Promise<number | null>(resolve => child.once('close', resolve))
  return { code, ...texts }
}
