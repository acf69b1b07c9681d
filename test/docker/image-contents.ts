import { readdirSync, readFileSync } from 'node:fs'
import { join, relative } from 'node:path'
import { repository } from '../support/readme.ts'

/** The content of the container image below /app. Paths are relative to their folder and sorted. */
export interface ImageContents {
  top: string[]
  /** Compiled modules in dist. */
  modules: string[]
  /** Other files in dist. */
  otherFiles: string[]
  /** Installed packages, as package-lock.json names them. */
  packages: string[]
  /** Files in db. */
  db: string[]
}

/** Runs in the container, and prints ImageContents. */
export const LIST_CONTENTS = `
import { readdirSync } from 'node:fs'
const entries = (folder, kind) => readdirSync(folder, { recursive: true, withFileTypes: true })
  .filter(entry => entry[kind]())
  .map(entry => (entry.parentPath + '/' + entry.name).slice(folder.length + 1)).sort()
const dist = entries('/app/dist', 'isFile')
const isModule = name => name.endsWith('.js')
const folders = entries('/app/node_modules', 'isDirectory').map(name => 'node_modules/' + name)
console.log(JSON.stringify({
  top: readdirSync('/app').sort(),
  modules: dist.filter(isModule),
  otherFiles: dist.filter(name => !isModule(name) && !name.endsWith('.js.map')),
  packages: folders.filter(name => /(^|[/])node_modules[/](@[^/]+[/])?[^@./][^/]*$/.test(name)),
  db: entries('/app/db', 'isFile'),
}))`

/** The two that start something, and the script of the reference page, which is for a browser. */
export const NOT_IMPORTED = ['main.js', 'cli/main.js', 'reference/reference.js']

/** Runs in the container: imports every other module and prints which failed. */
export const IMPORT_ALL = `
import { readdirSync } from 'node:fs'
const modules = readdirSync('/app/dist', { recursive: true })
  .filter(name => name.endsWith('.js') && !${JSON.stringify(NOT_IMPORTED)}.includes(name))
const failed = []
for (const name of modules) await import('/app/dist/' + name).catch(error => failed.push(name + ': ' + error.message))
console.log(JSON.stringify({ imported: modules.length - failed.length, failed }))`

/** The expected content of the image: nothing that only tests, generates, or is for trying Mintmark out. */
export function expectedContents(): ImageContents {
  return {
    top: ['db', 'dist', 'node_modules', 'package.json', 'scripts'],
    modules: [
      ...files('src')
        .filter(name => name.endsWith('.ts') && !name.startsWith('embedded-postgres/'))
        .map(name => name.replace(/\.ts$/, '.js')),
      'reference/reference.js',
    ].sort(),
    otherFiles: ['LICENSE', 'THIRD_PARTY_NOTICES', 'index.html', 'reference.css'].map(
      name => `reference/${name}`,
    ),
    packages: productionPackages(),
    db: files('db'),
  }
}

/** Those that the lock file marks neither as development nor as optional. */
function productionPackages(): string[] {
  const lock = JSON.parse(readFileSync(join(repository, 'package-lock.json'), 'utf8')) as {
    packages: Record<string, { dev?: true; optional?: true; devOptional?: true }>
  }
  return Object.entries(lock.packages)
    .filter(([name, { dev, optional, devOptional }]) => name !== '' && !dev && !optional && !devOptional)
    .map(([name]) => name)
    .sort()
}

function files(folder: string): string[] {
  const root = join(repository, folder)
  return readdirSync(root, { recursive: true, withFileTypes: true })
    .filter(entry => entry.isFile())
    .map(entry => relative(root, join(entry.parentPath, entry.name)))
    .sort()
}
