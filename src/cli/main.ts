#!/usr/bin/env node
import { fileURLToPath } from 'node:url'
import { onRightNode } from '../../scripts/right-node.js'

/**
 * cli/ is the `mintmark` command. Any Node may start this file, which finds the right one, so it imports nothing else;
 * run.ts does the rest. program.ts combines the commands, commands/ has a file for each noun, and their shared code is
 * in this folder.
 */
onRightNode(fileURLToPath(import.meta.url), process.argv.slice(2), async () => {
  const { runHere } = await import('./run.ts')
  await runHere()
})
