import { mkdtempSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { TestService } from '../../support/test-service.ts'
import { mintmark, type Outcome } from '../mintmark.ts'

/** Commands on files with these texts, for one service. */
export function applying(service: TestService) {
  const folder = mkdtempSync(join(tmpdir(), 'mintmark-apply-'))
  const env = { MINTMARK_URL: service.service.urls.admin, MINTMARK_ADMIN_TOKEN: service.rootToken }
  let count = 0
  const file = (text: string): string => {
    const path = join(folder, `${++count}.yaml`)
    writeFileSync(path, text)
    return path
  }
  const run = (verb: 'apply' | 'diff', text: string, ...more: string[]): Promise<Outcome> =>
    mintmark([verb, '-f', file(text), ...more], { env })
  /** The number of rows in the audit trail: of all that was ever changed. */
  const writes = async (): Promise<number> =>
    Number(
      (
        await service.database.asOwner(
          "SELECT count(*)::int AS n FROM audit_events WHERE action NOT LIKE '%.refuse'",
        )
      )[0]?.n,
    )
  return { folder, env, file, run, writes }
}
