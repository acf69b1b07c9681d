import { chmodSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { Checks } from '../engine/checks.ts'
import { runAll } from '../support/readme.ts'
import { until } from '../support/until.ts'
import { type Cluster, WAIT_MS } from './cluster.ts'
import { PROGRAMS } from './programs.ts'

const REPOSITORY = fileURLToPath(new URL('../../', import.meta.url))
const GUIDE = readFileSync(join(REPOSITORY, 'docs/guides/kubernetes.md'), 'utf8')
const ROLES = readFileSync(join(REPOSITORY, 'db/README.md'), 'utf8')

/**
 * docs/guides/kubernetes.md from an empty cluster to a refused and an accepted call, with its own commands and values: sections
 * "Install it", "With Istio" and "The first calls". Changed are addresses: of the database, and of the gateway.
 */
export async function followGuide(
  checks: Checks,
  cluster: Cluster,
  startGateway: () => Promise<string>,
): Promise<void> {
  console.log('\nthe guide, from an empty cluster to a call')
  const began = performance.now()
  const step = async (name: string, work: () => Promise<unknown>) => {
    const from = performance.now()
    await checks.equal(name, undefined, async () => void (await work()))
    console.log(`  note    ${((performance.now() - from) / 1_000).toFixed(1)} s`)
  }
  const home = prepareHome(cluster)
  const shell = (commands: string[]) =>
    runAll(commands, { cwd: home, env: { PATH: `${join(home, 'bin')}:${process.env.PATH}`, HOME: home } })
  const [secrets = '', install = ''] = blocks(section('Install it'), 'sh')
  const [values = ''] = blocks(section('Install it'), 'yaml')
  const [istio = ''] = blocks(section('With Istio'), 'yaml')
  const [calls = '', curls = ''] = blocks(section('The first calls'), 'sh')

  await step('the roles in Postgres', () => cluster.createRoles(blocks(ROLES, 'sql')[0] ?? ''))
  await step('a namespace and two Secrets', () =>
    shell([
      substituted(secrets, /@db\.example\.com\/mintmark\?sslmode=verify-full/g, `@${cluster.database}`),
    ]),
  )
  writeFileSync(join(home, 'values.yaml'), values)
  await step('helm install, helm test', () => shell([install]))
  writeFileSync(join(home, 'values.yaml'), `${values}${istio}`)
  await step('with Istio: helm upgrade', () => shell([substituted(install, /helm install/, 'helm upgrade')]))
  const url = await startGateway()
  // A person types the next line later, and ends the port forwards.
  const paced = substituted(calls, /^mintmark /m, 'sleep 3\nmintmark ')
  await step('the first calls', () => shell([`${paced}kill $(jobs -p)\n`]))
  const [refused = '', accepted = ''] = substituted(curls, /https:\/\/inference\.example\.com/g, url)
    .trim()
    .split('\n')
  const call = async (command: string) => (await shell([command.replace('curl', 'curl -s')]))[0] ?? ''
  const status = (answer: string) => Number(/^HTTP\/1\.1 (\d+)/.exec(answer)?.[1])
  const answered = () => call(accepted)
  await checks.equal('a call with a token lists the models', [200, true], async () => {
    const answer = await until('it is accepted', answered, text => status(text) === 200, WAIT_MS)
    return [status(answer), answer.includes('"id":"llama-3-8b"')]
  })
  console.log(
    `  note    ${((performance.now() - began) / 1_000).toFixed(0)} s from the empty cluster to this call`,
  )
  await checks.equal('a call without a token is refused', true, async () =>
    [401, 403].includes(status(await call(refused))),
  )
}

/** A folder as a clone has it, with `kubectl`, `helm` and `mintmark` in PATH. */
function prepareHome(cluster: Cluster): string {
  const home = join(cluster.folder, 'guide')
  mkdirSync(join(home, 'bin'), { recursive: true })
  symlinkSync(join(REPOSITORY, 'deploy'), join(home, 'deploy'))
  const script = (name: string, ...lines: string[]) => {
    writeFileSync(join(home, 'bin', name), ['#!/usr/bin/env bash', ...lines, ''].join('\n'))
    chmodSync(join(home, 'bin', name), 0o755)
  }
  const config = `export KUBECONFIG=${cluster.plane.kubeconfig}`
  const forwarder = join(REPOSITORY, 'test/cluster/port-forward.ts')
  script('helm', config, `exec ${PROGRAMS.helm} "$@"`)
  // A port forward needs a kubelet: here it goes to the address of the Service.
  script(
    'kubectl',
    config,
    `if [ "\${3:-}" = port-forward ]; then`,
    `  exec ${process.execPath} ${forwarder} "$(${PROGRAMS.kubectl} --namespace "$2" get "$4" -o jsonpath='{.spec.clusterIP}')" "$5"`,
    'fi',
    `exec ${PROGRAMS.kubectl} "$@"`,
  )
  script('mintmark', `exec ${process.execPath} ${join(REPOSITORY, 'dist/cli/main.js')} "$@"`)
  return home
}

const section = (title: string): string => {
  const [, text] = new RegExp(`^## ${title}\n([\\s\\S]*?)(?=^## )`, 'm').exec(GUIDE) ?? []
  if (text === undefined) throw new Error(`the guide has no section ${title}`)
  return text
}

/** The blocks of a language, without the indentation of a list. */
const blocks = (text: string, language: string): string[] =>
  [...text.matchAll(new RegExp(`^( *)\`\`\`${language}\n([\\s\\S]*?)^ *\`\`\``, 'gm'))].map(
    ([, indent = '', body = '']) => body.replaceAll(new RegExp(`^${indent}`, 'gm'), ''),
  )

function substituted(text: string, from: RegExp, to: string): string {
  if (text.search(from) < 0) throw new Error(`the guide does not say ${from}`)
  return text.replace(from, to)
}
