import { fileURLToPath } from 'node:url'
import { defineConfig } from 'vitest/config'

export default defineConfig({
  root: fileURLToPath(new URL('../..', import.meta.url)),
  test: {
    include: ['test/rotation/*.fault.ts'],
    globalSetup: ['test/support/global-setup.ts'],
    testTimeout: process.env.ROTATION_FULL === '1' ? 900_000 : 120_000,
    hookTimeout: 120_000,
    // Each of them needs the machine for itself.
    fileParallelism: false,
    pool: 'forks',
    // The short form shares CI's machine: what fails there is tried once more.
    retry: process.env.ROTATION_FULL === '1' ? 0 : 1,
  },
})
