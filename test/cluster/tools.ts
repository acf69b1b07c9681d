import { spawn } from 'node:child_process'
import type { ControlPlane } from './control-plane.ts'
import { HELM, KUBECTL } from './control-plane.ts'

export interface Ran {
  ok: boolean
  /** What it printed; with its errors and warnings, unless only the output was asked for. */
  output: string
}

/** Runs kubectl against the suite's API server, while pods keep running. */
export const kubectl = (plane: ControlPlane, args: string[], input = ''): Promise<Ran> =>
  run(KUBECTL, plane, args, input)

/** Runs Helm, with values on standard input when there are any. */
export const helm = (plane: ControlPlane, args: string[], values?: object): Promise<Ran> =>
  values ? run(HELM, plane, [...args, '--values', '-'], JSON.stringify(values)) : run(HELM, plane, args, '')

function run(program: string, plane: ControlPlane, args: string[], input: string): Promise<Ran> {
  const env = { PATH: process.env.PATH, KUBECONFIG: plane.kubeconfig, HOME: plane.folder }
  const child = spawn(program, args, { env, stdio: ['pipe', 'pipe', 'pipe'] })
  let output = ''
  for (const stream of [child.stdout, child.stderr]) stream.on('data', chunk => (output += chunk))
  child.stdin.on('error', () => {})
  child.stdin.end(input)
  return new Promise((resolve, reject) => {
    child.once('error', reject)
    child.once('close', code => resolve({ ok: code === 0, output }))
  })
}
