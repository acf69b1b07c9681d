import { availableParallelism, loadavg } from 'node:os'
import { fileURLToPath } from 'node:url'
import { defineConfig } from 'vitest/config'
import { useOwnTemporaryFolder } from '../../support/own-temporary-folder.ts'

useOwnTemporaryFolder()

const full = process.env.ROTATION_FULL === '1'
const isBusy = (loadavg()[0] ?? 0) > 2 * availableParallelism()

const shared = {
  globalSetup: ['test/support/global-setup.ts'],
  testTimeout: full ? 900_000 : 400_000,
  hookTimeout: 300_000,
  // A test that is retried until it passes shows nothing: no `retry`.
  pool: 'forks' as const,
}

export default defineConfig({
  root: fileURLToPath(new URL('../../..', import.meta.url)),
  test: {
    projects: [
      {
        // Ten seconds represent two hours here: other load on the machine must not take seconds of them.
        test: {
          ...shared,
          name: 'alone',
          include: ['test/faults/rotation/under-load.fault.ts'],
          maxWorkers: 1,
          sequence: { groupOrder: 0 },
        },
      },
      {
        // These mostly wait for a rotation or a start.
        test: {
          ...shared,
          name: 'together',
          include: ['test/faults/rotation/*.fault.ts'],
          exclude: ['test/faults/rotation/under-load.fault.ts'],
          maxWorkers: full || isBusy ? 1 : 3,
          sequence: { groupOrder: 1 },
        },
      },
    ],
  },
})
