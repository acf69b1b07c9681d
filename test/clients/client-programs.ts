import { existsSync, globSync } from 'node:fs'
import { homedir } from 'node:os'
import { join } from 'node:path'

/** Programs that scripts/install-test-tools.sh installs for the recipes of docs/guides/clients.md. */
const cache = process.env.MINTMARK_CACHE ?? join(homedir(), '.cache', 'mintmark')
export const litellmProxy = join(cache, 'litellm/bin/litellm')
/** scripts/install-open-webui.sh installs it: 1.1 GB, so not for every run of the tests. */
export const openWebui = join(cache, 'open-webui/python/bin/open-webui')
/** Its package for this platform has the program. */
export const claudeCode = join(
  cache,
  globSync('claude-code/node_modules/@anthropic-ai/claude-code-*/claude', { cwd: cache })[0] ?? 'claude-code',
)

const isRequired = process.env.MINTMARK_REQUIRE_GATEWAYS === '1'

/** For `it.skipIf`: not installed, and not required. */
export const lacksLitellmProxy = (): boolean => !existsSync(litellmProxy) && !isRequired
export const lacksOpenWebui = (): boolean => !existsSync(openWebui)
export const lacksClaudeCode = (): boolean => !claudeCode.endsWith('/claude') && !isRequired
