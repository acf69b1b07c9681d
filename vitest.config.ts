import { availableParallelism } from 'node:os'
import { configDefaults, defineConfig } from 'vitest/config'

/** These measure waiting times during faults, and need the machine for themselves. */
const ALONE = [
  'test/authentication/imported-flood.test.ts',
  'test/service/{database-outage,drain,partition,replicas,stalled-writer}.test.ts',
  'test/observability/metrics-page.test.ts',
]

export default defineConfig({
  test: {
    globalSetup: ['test/support/skipped-suites.ts', 'test/support/global-setup.ts'],
    // Only against tests that hang: a busy machine is no failure.
    testTimeout: 60_000,
    hookTimeout: 180_000,
    pool: 'forks',
    projects: [
      {
        extends: true,
        test: {
          name: 'side by side',
          include: ['test/**/*.test.ts'],
          exclude: [...configDefaults.exclude, ...ALONE],
          // Most of a test's time is spent waiting: for a process, a poll, an answer.
          maxWorkers: Math.min(4, availableParallelism() + 2),
          sequence: { groupOrder: 0 },
        },
      },
      {
        extends: true,
        test: { name: 'alone', include: ALONE, maxWorkers: 1, sequence: { groupOrder: 1 } },
      },
    ],
  },
})
