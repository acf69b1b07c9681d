import { readdirSync, readFileSync } from 'node:fs'
import { expect, it } from 'vitest'
import { deployFiles } from '../../src/gateway/deploy-files.ts'

const root = new URL('../../', import.meta.url)
const generated = deployFiles()

it.each(Object.keys(generated))('%s is what src/gateway/ makes (node scripts/generate-deploy.ts)', path => {
  expect(readFileSync(new URL(path, root), 'utf8')).toBe(generated[path])
})

it.each(['deploy/envoy', 'deploy/istio', 'deploy/nginx', 'deploy/caddy', 'deploy/haproxy'])(
  'nothing else lies in %s',
  folder => {
    const files = readdirSync(new URL(`${folder}/`, root)).map(name => `${folder}/${name}`)
    expect(files.toSorted()).toEqual(
      Object.keys(generated)
        .filter(path => path.startsWith(folder))
        .toSorted(),
    )
  },
)

it("pilot's record has the filters that the EnvoyFilter inserts, and no others of ours", () => {
  const inserted = generated['deploy/istio/envoy-filter.yaml']?.match(/(?<=name: )mintmark\.[-\w]+/g)
  const record = JSON.parse(readFileSync(new URL('pilot/record.json', import.meta.url), 'utf8'))
  const names: string[] = record.connection_manager.http_filters.map(
    (filter: { name: string }) => filter.name,
  )
  expect(names.filter(name => name.startsWith('mintmark.'))).toEqual(inserted)
})
