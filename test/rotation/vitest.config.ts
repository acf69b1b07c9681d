import { fileURLToPath } from 'node:url'
import { defineConfig } from 'vitest/config'

export default defineConfig({
  root: fileURLToPath(new URL('../..', import.meta.url)),
  test: {
    include: ['test/rotation/*.fault.ts'],
    globalSetup: ['test/support/global-setup.ts'],
    testTimeout: process.env.ROTATION_FULL === '1' ? 900_000 : 120_000,
    hookTimeout: 120_000,
    // Mostly they wait for a turn-over or a start. What is retried until it passes shows nothing: no `retry`.
    maxWorkers: process.env.ROTATION_FULL === '1' ? 1 : 3,
    pool: 'forks',
  },
})
