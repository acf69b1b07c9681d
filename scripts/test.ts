import { existsSync } from 'node:fs'
import { pathToFileURL } from 'node:url'

/**
 * `npm test`: what needs nothing but npm, within minutes. With the name of a file or folder it runs what has that name,
 * from every project of vitest.config.ts.
 */
const given = process.argv.slice(2)
const chosen = given.some(argument => existsSync(argument) || argument.startsWith('--project'))
if (!chosen) {
  console.log('skipped: gateways and independent clients; to run it: npm run test:third-party')
  console.log(
    'skipped: processes killed, paused and flooded, databases restored; to run it: npm run test:load',
  )
  console.log('skipped: what measures time; to run it: npm run test:timing')
}
const projects = chosen ? [] : ['--project', 'unit', '--project', 'side by side']
process.argv.splice(2, given.length, 'run', ...projects, ...given)
await import(pathToFileURL('node_modules/vitest/vitest.mjs').href)
