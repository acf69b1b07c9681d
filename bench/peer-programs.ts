import { execFileSync } from 'node:child_process'
import { existsSync, mkdirSync } from 'node:fs'
import { homedir } from 'node:os'
import { join } from 'node:path'

/**
 * The programs of other issuers, as their creators publish them: Keycloak's distribution from Maven Central, which needs
 * Maven, unzip and Java 17 or later, and Ory Hydra built from its Go module, which needs Go. They are kept in the user's
 * cache; only the first run downloads and builds.
 */
const KEYCLOAK = '26.7.3'
const HYDRA = 'v2.3.0'
/** Of Hydra's go.mod: only a main module's replacements count. */
const HYDRA_REPLACES =
  'github.com/gobuffalo/pop/v6=github.com/ory/pop/v6@v6.2.1-0.20241121111754-e5dfc0f3344b'
const CACHE = join(process.env.XDG_CACHE_HOME ?? join(homedir(), '.cache'), 'mintmark', 'bench')

/** The folder of Keycloak's distribution. */
export function keycloakHome(): string {
  const home = join(CACHE, `keycloak-${KEYCLOAK}`)
  if (existsSync(join(home, 'bin', 'kc.sh'))) return home
  mkdirSync(CACHE, { recursive: true })
  const artifact = `org.keycloak:keycloak-quarkus-dist:${KEYCLOAK}:zip`
  const copy = 'org.apache.maven.plugins:maven-dependency-plugin:3.6.1:copy'
  run('mvn', '--batch-mode', '--quiet', copy, `-Dartifact=${artifact}`, '-DoutputDirectory=.')
  run('unzip', '-q', '-o', `keycloak-quarkus-dist-${KEYCLOAK}.zip`)
  return home
}

/** Hydra's program. */
export function hydraProgram(): string {
  const folder = join(CACHE, `hydra-${HYDRA}`)
  const program = join(folder, 'hydra')
  if (existsSync(program)) return program
  mkdirSync(folder, { recursive: true })
  // `go install` of a version refuses to build a module with replacements.
  if (!existsSync(join(folder, 'go.mod'))) runIn(folder, 'go', 'mod', 'init', 'mintmark.bench/hydra')
  runIn(folder, 'go', 'mod', 'edit', `-replace=${HYDRA_REPLACES}`)
  runIn(folder, 'go', 'get', '-tool', `github.com/ory/hydra/v2@${HYDRA}`)
  runIn(folder, 'go', 'build', '-o', 'hydra', 'github.com/ory/hydra/v2')
  return program
}

const run = (program: string, ...words: string[]) => runIn(CACHE, program, ...words)

function runIn(folder: string, program: string, ...words: string[]): void {
  console.log(`${program} ${words.join(' ')}`)
  execFileSync(program, words, { cwd: folder, stdio: 'inherit' })
}
