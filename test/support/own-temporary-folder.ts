import { chmodSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

const NAME = 'mintmark-run-'

/**
 * For the configuration of Vitest: from now on the temporary folder of this process, of its workers and of the programs that
 * they start is one of this run, which is removed at its end. So nothing is left of a test, also of one that fails.
 */
export function useOwnTemporaryFolder(): void {
  if (tmpdir().includes(NAME)) return
  const folder = mkdtempSync(join(tmpdir(), NAME))
  // As the one that it replaces: some programs of tests run as another user.
  chmodSync(folder, 0o1777)
  process.env.TMPDIR = folder
  process.once('exit', () => rmSync(folder, { recursive: true, force: true, maxRetries: 3 }))
}
