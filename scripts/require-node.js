// Every npm script that runs our TypeScript starts here, in syntax that any Node understands. npm puts
// node_modules/.bin first, so this is normally the pinned Node 26; when that package is missing (npm ci
// --omit=optional, musl, a copied folder) the machine's own Node runs, and an old one gets a sentence
// instead of a syntax error.
const minimum = [22, 22]
const [major, minor] = process.versions.node.split('.').map(Number)
if (major < minimum[0] || (major === minimum[0] && minor < minimum[1])) {
  console.error(
    `Mintmark needs Node ${minimum.join('.')} or newer, and this is Node ${process.versions.node}.\n` +
      'Run "npm ci" with optional packages (it brings Node 26), or put a newer Node first in PATH.',
  )
  process.exit(1)
}
const [script, ...rest] = process.argv.slice(2)
process.argv = [process.argv[0], (await import('node:path')).resolve(script), ...rest]
await import((await import('node:url')).pathToFileURL(process.argv[1]).href)
