import { readFileSync, writeFileSync } from 'node:fs'

/**
 * `npm run open-lockfile`, after a change of dependencies: npm omits an optional package (a tool's binary for this
 * platform) when its "engines" exclude the Node that npm itself runs on, although the pinned Node will use it. So the
 * lockfile names no engines for optional packages. test/scripts/lockfile.test.ts checks that.
 */
const file = new URL('../package-lock.json', import.meta.url)
const lockfile = JSON.parse(readFileSync(file, 'utf8'))
for (const described of Object.values(lockfile.packages)) {
  if (described.optional) delete described.engines
}
writeFileSync(file, `${JSON.stringify(lockfile, null, 2)}\n`)
