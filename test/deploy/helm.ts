import { spawnSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { homedir } from 'node:os'
import { delimiter, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseAllDocuments } from 'yaml'

const CHART = fileURLToPath(new URL('../../deploy/helm/mintmark/', import.meta.url))

/** From PATH, or from where scripts/install-test-tools.sh unpacks it. */
function find(): string | undefined {
  const cache = process.env.MINTMARK_CACHE ?? join(homedir(), '.cache', 'mintmark')
  const folders = [...(process.env.PATH ?? '').split(delimiter), join(cache, 'bin')]
  return folders.map(folder => join(folder, 'helm')).find(file => existsSync(file))
}

/** True: skip. Where third-party programs are required (CI), a missing one fails instead. */
export const lacksHelm = (): boolean => !find() && process.env.MINTMARK_REQUIRE_GATEWAYS !== '1'

/** Runs helm with the chart, and the values on standard input. */
export function helm(
  command: string[],
  values: object,
  namespace = 'serving',
): { ok: boolean; stdout: string; output: string } {
  const program = find()
  if (!program) throw new Error('helm is not there: run `bash scripts/install-test-tools.sh`')
  const args = [...command, CHART, '--values', '-', '--namespace', namespace]
  const { status, stdout, stderr } = spawnSync(program, args, {
    input: JSON.stringify(values),
    encoding: 'utf8',
  })
  return { ok: status === 0, stdout, output: stdout + stderr }
}

// biome-ignore lint/suspicious/noExplicitAny: each kind of object has its own shape
export type KubernetesObject = any

/** The objects that the chart makes of these values. @throws {Error} with helm's message. */
export function render(values: object, release = 'mintmark', namespace?: string): KubernetesObject[] {
  const { ok, stdout, output } = helm(['template', release], values, namespace)
  if (!ok) throw new Error(output)
  return parseAllDocuments(stdout).map(document => {
    if (document.errors.length > 0) throw new Error(`${document.errors[0]}\n${stdout}`)
    return document.toJS()
  })
}
