import type { Command } from 'commander'
import type { View } from '../../output.ts'
import { readAdminSettings } from '../../settings.ts'
import { action, resultVerb } from '../../verb.ts'

/** The answer of `GET /admin/v1/whoami`. */
export interface Caller {
  id: string
  role: string
  tenant: string | null
  expires_at: string | null
  rights: string[]
  installation: { id: string; issuer: string }
}

export interface Shown extends Caller {
  context: string | null
  server: string
  server_from: string
  token_from: string
}

export const CALLER_VIEW: View<Shown> = {
  plural: 'callers',
  id: ({ id }) => id,
  columns: [],
  nulls: { expires_at: 'never', tenant: 'all', context: 'none' },
}

export function whoamiCommand(program: Command, environment: NodeJS.ProcessEnv): void {
  resultVerb(program, 'whoami', {
    summary: 'show which server commands talk to, and as whom',
    details: 'The service confirms it: the token is sent, and id, role, tenant and expiry are its answer.',
    examples: ['mintmark whoami', 'mintmark whoami --field role'],
  }).action(
    action(environment, async ({ admin, output }) => {
      const { url, urlFrom, tokenFrom, context } = readAdminSettings(environment)
      const caller = await admin.get<Caller>('/whoami')
      const where = { context, server: url, server_from: urlFrom, token_from: tokenFrom }
      await output.object<Shown>({ ...where, ...caller }, CALLER_VIEW)
    }),
  )
}
