// Prints the changelog's section of a release, and fails when the tag, package.json, the clients and the changelog
// disagree on the version: node scripts/release-notes.js v0.2.0. Plain JavaScript: it runs on the machine's own Node.
import { readFileSync } from 'node:fs'

const [tag = ''] = process.argv.slice(2)
const version = tag.replace(/^v/, '')
const read = path => readFileSync(new URL(`../${path}`, import.meta.url), 'utf8')
const faults = []
for (const path of ['package.json', 'clients/typescript/package.json']) {
  const { version: found, private: isPrivate, repository } = JSON.parse(read(path))
  if (found !== version) faults.push(`${path} has version ${found}`)
  // npm publishes no private package, and provenance names the repository.
  if (isPrivate) faults.push(`${path} is private, so npm does not publish it`)
  if (!repository?.url) faults.push(`${path} has no repository, which provenance requires`)
}
const [, python] = /^version = "(.*)"$/m.exec(read('clients/python/pyproject.toml')) ?? []
if (python !== version) faults.push(`clients/python/pyproject.toml has version ${python}`)
const sections = read('CHANGELOG.md').split(/^(?=## )/m)
const section = sections.find(text => text.startsWith(`## [${version}] - `))
if (!section) faults.push(`CHANGELOG.md has no section "## [${version}] - <date>"`)
if (faults.length > 0) {
  console.error(`The tag ${tag || '(none)'} and the repository do not agree: ${faults.join('; ')}.`)
  process.exit(1)
}
console.log(
  section
    .split('\n')
    .slice(1)
    .join('\n')
    .replace(/^\[.*\]: .*$/gm, '')
    .trim(),
)
