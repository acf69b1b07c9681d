import { execFileSync } from 'node:child_process'
import { constants, mkdirSync, mkdtempSync, openSync, readFileSync, rmSync } from 'node:fs'
import { Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Output } from './service-process.ts'

/** A destination for a log that can fail and work again. */
export interface FailingOutput extends Output {
  /** `flags` as of open(2), besides those for writing. */
  open(flags?: number): number
  fail(): void
  recover(): void
  remove(): void
}

/**
 * A named pipe, as container runtimes make one for a process. `stalled`: it fails by not being read any more; `gone`: by
 * having no reader any more.
 */
export function pipeOutput(how: 'stalled' | 'gone'): FailingOutput {
  const folder = mkdtempSync(join(tmpdir(), 'mintmark-pipe-'))
  const path = join(folder, 'log')
  execFileSync('mkfifo', [path])
  let text = ''
  const startReading = () => {
    const fd = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK)
    return new Socket({ fd, readable: true, writable: false }).setEncoding('utf8').on('data', chunk => {
      text += chunk
    })
  }
  let reader = startReading()
  return {
    open: (flags = 0) => openSync(path, constants.O_WRONLY | flags),
    text: () => text,
    close: () => {},
    fail: () => void (how === 'stalled' ? reader.pause() : reader.destroy()),
    recover: () => {
      if (how === 'stalled') reader.resume()
      else reader = startReading()
    },
    remove: () => {
      reader.destroy()
      rmSync(folder, { recursive: true })
    },
  }
}

const ROOM_KIB = 128

/** A file on a disk of its own, which fails by being full. Only root can make one. */
export function diskOutput(): FailingOutput {
  const folder = mkdtempSync(join(tmpdir(), 'mintmark-disk-'))
  const disk = join(folder, 'disk')
  mkdirSync(disk)
  execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=64m', 'mintmark', disk])
  const path = join(disk, 'log')
  const resize = (size: string) => execFileSync('mount', ['-o', `remount,size=${size}`, disk])
  const usedKiB = () => Number(execFileSync('du', ['-k', path]).toString().split('\t')[0])
  let all: string | undefined
  const text = () => all ?? readFileSync(path, 'utf8')
  return {
    open: () => openSync(path, 'a'),
    text,
    close: () => {
      all = text()
    },
    // With a little room left, as a log that is being written would be too large for less.
    fail: () => void resize(`${usedKiB() + ROOM_KIB}k`),
    recover: () => void resize('64m'),
    remove: () => {
      execFileSync('umount', ['--lazy', disk])
      rmSync(folder, { recursive: true })
    },
  }
}

/** Why a disk cannot be made here. */
export function lacksDisks(): string | undefined {
  try {
    diskOutput().remove()
    return undefined
  } catch {
    return 'a disk of its own takes root and mount'
  }
}
