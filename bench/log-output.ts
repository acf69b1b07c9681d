import { execFileSync, spawn } from 'node:child_process'
import { closeSync, constants, openSync, readFileSync, readSync, truncateSync } from 'node:fs'
import { rm } from 'node:fs/promises'

/** Where the stdout of a server goes: a file, a pipe that another process reads, or a pipe that nothing reads. */
export type LogOutput = 'file' | 'pipe' | 'stalled pipe'

/** The stdout of one server. */
export interface Stdout {
  /** A descriptor for the server; close it here. */
  open(): number
  /** What it has written. Of a stalled pipe: what was read so far; calling this is what reads it. */
  said(): string
  truncate(): void
  remove(): Promise<void>
}

/** `path` is that of the file, which a pipe has too; `core` is the core of the process that reads. */
export function stdoutTo(output: LogOutput, path: string, core: number): Stdout {
  if (output === 'stalled pipe') return stalledPipe(path)
  const file = {
    open: () => openSync(path, 'a'),
    said: () => readFileSync(path, 'utf8'),
    truncate: () => truncateSync(path),
    remove: () => rm(path),
  }
  return output === 'file' ? file : { ...file, ...readPipe(path, core) }
}

/** A pipe, as of a container runtime, with a process that copies it into the file. */
function readPipe(path: string, core: number): Pick<Stdout, 'open' | 'remove'> {
  const pipe = `${path}.pipe`
  execFileSync('mkfifo', [pipe])
  const copy = openSync(path, 'a')
  spawn('taskset', ['-c', String(core), 'cat', pipe], { stdio: ['ignore', copy, 'inherit'] })
  closeSync(copy)
  return {
    open: () => openSync(pipe, 'w'),
    // The reader ends with the server, which was the only writer.
    remove: async () => void (await Promise.all([rm(path), rm(pipe)])),
  }
}

function stalledPipe(path: string): Stdout {
  execFileSync('mkfifo', [path])
  const reading = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK)
  const chunk = Buffer.alloc(65_536)
  let text = ''
  return {
    open: () => openSync(path, 'w'),
    said: () => {
      text += chunk.toString('utf8', 0, readOrNothing(reading, chunk))
      return text
    },
    truncate: () => {},
    remove: async () => {
      closeSync(reading)
      await rm(path)
    },
  }
}

function readOrNothing(descriptor: number, into: Buffer): number {
  try {
    return readSync(descriptor, into)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EAGAIN') return 0
    throw error
  }
}
