import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { Ran } from './control-plane.ts'
import { MODES, NONSENSE, shardOf } from './modes.ts'
import { LOCATION, writeSchemas } from './openapi-schemas.ts'
import { PROGRAMS } from './programs.ts'
import { CHART, type Setting } from './setting.ts'

const EXAMPLES = fileURLToPath(new URL('../../deploy/helm/examples', import.meta.url))
const APPLY = ['apply', '--server-side', '--dry-run=server', '--validate=strict', '--filename', '-']
const ACCEPTED = 'without a warning'

/** Every mode of the chart: `helm lint`, kubeconform with the schemas of this API server, and strict server-side apply. */
export async function checkModes({ checks, cluster, shard }: Setting): Promise<void> {
  console.log('\nthe modes of the chart: lint, kubeconform, strict server-side apply')
  const schemas = join(cluster.folder, 'schemas')
  await writeSchemas(cluster.plane.api, schemas)
  const apply = async (objects: string) => verdict(await cluster.plane.kubectl(APPLY, objects))
  for (const [name, values] of shardOf(Object.entries(MODES), shard)) {
    await checks.equal(name, [ACCEPTED, ACCEPTED, ACCEPTED], async () => {
      const rendered = await cluster.helm(['template', 'mintmark', CHART], values)
      if (!rendered.ok) return rendered.output
      return Promise.all([
        cluster.helm(['lint', '--strict', CHART], values).then(verdict),
        kubeconform(rendered.stdout, schemas),
        apply(rendered.stdout),
      ])
    })
  }
  const examples = readdirSync(EXAMPLES).filter(name => name !== 'cloudnative-pg.yaml')
  for (const name of examples) {
    const objects = readFileSync(join(EXAMPLES, name), 'utf8')
    await checks.equal(`deploy/helm/examples/${name}`, [ACCEPTED, ACCEPTED], () =>
      Promise.all([kubeconform(objects, schemas), apply(objects)]),
    )
  }
  const { stdout: rendered } = await cluster.helm(['template', 'mintmark', CHART], MODES.production)
  const misspelt = rendered.replace('readinessProbe:', 'readynessProbe:')
  await checks.equal('kubeconform names a field that does not exist', true, async () =>
    (await kubeconform(misspelt, schemas)).includes('readynessProbe'),
  )
  await checks.equal('the API server rejects what it alone knows to be wrong', false, async () => {
    const { stdout } = await cluster.helm(['template', 'mintmark', CHART], NONSENSE)
    return (await cluster.plane.kubectl(APPLY, stdout)).ok
  })
}

const verdict = ({ ok, output }: Ran): string => (ok && !/warning/i.test(output) ? ACCEPTED : output)

/** Every object must have a schema. */
async function kubeconform(objects: string, schemas: string): Promise<string> {
  const child = spawn(PROGRAMS.kubeconform, ['-strict', '-schema-location', join(schemas, LOCATION)])
  let output = ''
  for (const stream of [child.stdout, child.stderr])
    stream.setEncoding('utf8').on('data', text => {
      output += text
    })
  child.stdin.end(objects)
  const [code] = await once(child, 'close')
  return code === 0 && output === '' ? ACCEPTED : output
}
