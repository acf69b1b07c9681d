import { type Config, readConfig } from '../../config/config.ts'
import { Env } from '../../config/env.ts'
import { streams } from '../streams.ts'

/** The effective configuration as JSON; secrets show as `[redacted]`. @throws {ConfigError} */
export function printConfig(environment: NodeJS.ProcessEnv): void {
  const config: Config = readConfig(new Env(environment))
  streams().stdout.write(`${JSON.stringify(config, null, 2)}\n`)
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
