#!/usr/bin/env node
import { fileURLToPath } from 'node:url'
import { onRightNode } from '../../scripts/right-node.js'

/**
 * cli/ is the `mintmark` command. This file may be started by any Node and finds the right one, so it imports nothing of
 * ours; run.ts does the rest. program.ts puts the commands together, commands/ has a file for each noun, and what they
 * share lies in this folder too.
 */
onRightNode(fileURLToPath(import.meta.url), process.argv.slice(2), async () => {
  const { run } = await import('./run.ts')
  await run()
})
