import { availableParallelism, loadavg } from 'node:os'
import { fileURLToPath } from 'node:url'
import { defineConfig } from 'vitest/config'

const full = process.env.ROTATION_FULL === '1'
const isBusy = (loadavg()[0] ?? 0) > 2 * availableParallelism()

export default defineConfig({
  root: fileURLToPath(new URL('../..', import.meta.url)),
  test: {
    include: ['test/rotation/*.fault.ts'],
    globalSetup: ['test/support/global-setup.ts'],
    testTimeout: full ? 900_000 : 400_000,
    hookTimeout: 300_000,
    // Mostly they wait for a turn-over or a start. What is retried until it passes shows nothing: no `retry`.
    maxWorkers: full || isBusy ? 1 : 3,
    pool: 'forks',
  },
})
