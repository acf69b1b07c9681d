import { type Config, readConfig } from '../../config/config.ts'
import { developmentFile } from '../../config/development-secrets.ts'
import { Env } from '../../config/env.ts'
import { streams } from '../streams.ts'
import { table } from '../table.ts'

/** The effective configuration as JSON; secrets show as `[redacted]`. @throws {ConfigError} */
export function printConfig(environment: NodeJS.ProcessEnv): void {
  const config: Config = readConfig(new Env(environment))
  streams().stdout.write(`${JSON.stringify(config, null, 2)}\n`)
}

/** Which only begin the record of the installation, at the first start; "mintmark installation get" has what holds now. */
const RECORDED = [
  'MINTMARK_SIGNING_ALG',
  'MINTMARK_ROTATION_INTERVAL_SECONDS',
  'MINTMARK_PUBLISH_LEAD_SECONDS',
]

/** Where the value of each variable comes from, without the values. @throws {ConfigError} */
export function printSources(environment: NodeJS.ProcessEnv): void {
  const env = new Env(environment)
  const { embedded, keysDir } = readConfig(env)
  const rows = env.descriptions.map(({ name, fallback }) => {
    const generated = embedded ? developmentFile(keysDir, name) : undefined
    const given = env.sources.get(name)
    const from = given ?? (generated ? `generated for development: ${generated}` : `default: ${fallback}`)
    return {
      name,
      from: RECORDED.includes(name) ? `${from}; after the first start the installation record` : from,
    }
  })
  const columns = [
    { title: 'VARIABLE', of: ({ name }: (typeof rows)[number]) => name },
    { title: 'FROM', of: ({ from }: (typeof rows)[number]) => from },
  ]
  streams().stdout.write(`${table(rows, columns, Number.POSITIVE_INFINITY)}\n`)
}

/** The table of variables in docs/configuration.md, generated from the code that reads them. */
export function configurationTable(): string {
  const env = new Env({})
  readConfig(env)
  const rows = env.descriptions.map(
    ({ name, fallback, description }) => `| \`${name}\` | ${fallback} | ${description} |`,
  )
  return ['| variable | default | |', '|---|---|---|', ...rows].join('\n')
}
