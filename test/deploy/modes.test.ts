import { readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { parse } from 'yaml'
import { MODES } from '../cluster/modes.ts'
import type { KubernetesObject } from './helm.ts'

/** The modes that `npm run cluster` applies and installs are all that the chart's README names. */

const CHART = new URL('../../deploy/helm/mintmark/', import.meta.url)
const SCHEMA = JSON.parse(readFileSync(new URL('values.schema.json', CHART), 'utf8'))
const DEFAULTS = parse(readFileSync(new URL('values.yaml', CHART), 'utf8'))

/** The path of each value that the README lists. */
const listed = (schema: KubernetesObject, path: string[] = []): string[][] =>
  schema.properties && path.at(-1) !== 'settings'
    ? Object.entries<KubernetesObject>(schema.properties).flatMap(([name, each]) =>
        listed(each, [...path, name]),
      )
    : [path]
const at = (values: KubernetesObject, path: string[]): unknown =>
  path.reduce((found, name) => found?.[name], values)
const { global: _, ...properties } = SCHEMA.properties
const PATHS = listed({ properties })
const ALL = Object.values(MODES) as KubernetesObject[]

describe('the modes of the cluster suite', () => {
  it.each(PATHS.map(path => [path.join('.'), path] as const))('one of them sets %s', (_, path) => {
    const standard = JSON.stringify(at(DEFAULTS, path))
    const others = ALL.map(values => at(values, path)).filter(
      value => value !== undefined && JSON.stringify(value) !== standard,
    )
    expect(others).not.toEqual([])
  })

  it('each value of a choice is in one of them', () => {
    const chosen = (path: string[]) => new Set(ALL.map(values => at(values, path) ?? at(DEFAULTS, path)))
    expect([...chosen(['istio', 'mode'])].toSorted()).toEqual(
      SCHEMA.properties.istio.properties.mode.enum.toSorted(),
    )
    const { items } = SCHEMA.properties.routes
    expect(ALL.some(({ routes }) => items.enum.every((group: string) => routes?.includes(group)))).toBe(true)
  })
})
