import { existsSync } from 'node:fs'
import { homedir } from 'node:os'
import { join } from 'node:path'
import { isAbsent } from '../gateway-configs/program.ts'

/** Nimbus' OAuth 2.0 SDK and Spring Security, installed by scripts/install-java-clients.sh. */
export const javaLibraries = join(
  process.env.MINTMARK_CACHE ?? join(homedir(), '.cache', 'mintmark'),
  'java-clients',
)

/** For `describe.skipIf`: a JDK or these libraries are missing, and not required. */
export const lacksJava = (): boolean =>
  isAbsent('javac') || (!existsSync(javaLibraries) && process.env.MINTMARK_REQUIRE_GATEWAYS !== '1')
