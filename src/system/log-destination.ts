import { write, writeSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'

/** What waits, in UTF-8: three to four thousand lines. */
const MOST_WAITING_BYTES = 1_048_576
/** So much, or what has waited for so long, is written at once: a write costs more than a line. */
const BATCH_BYTES = 16_384
const BATCH_MS = 50
/** PIPE_BUF of Linux: a pipe takes so much at once, whole or not at all, whatever other processes write to it. */
const SHARED_BATCH_BYTES = 4_096
/** A pipe takes 64 KiB at a time, so 3 MB a second. */
const RETRY_MS = 20
/** What is left of the ten seconds that a supervisor may give (service/drain.ts). */
const FLUSH_MS = 300
const EXIT_MS = 150
const LOOK_AGAIN_MS = 5

const NOTHING = Buffer.alloc(0)

/** Lines that were dropped, and the code of the fault (`EAGAIN`: not read); undefined when it was only too slow. */
export interface LogLoss {
  lines: number
  code: string | undefined
}

/**
 * Writes lines to a file descriptor and never makes the caller wait: a thread of libuv writes, one batch at a time.
 * While the destination is stalled, full or gone, 1 MiB waits, everything else is dropped and counted, and a write is
 * tried every 20 ms. No line is written twice, and none is torn, except one of more than 4 KiB on a pipe that processes share. docs/decisions/0015-nothing-waits-for-the-log.md
 */
export class LogDestination {
  /** Called once all that waited is written, when lines were dropped before. */
  onRecovery: (loss: LogLoss) => void = () => {}
  readonly #fd: number
  #lines: string[] = []
  /** What is not written yet of the lines that were taken last. */
  #batch = NOTHING
  /** Of both. */
  #waitingBytes = 0
  #dropped = 0
  #reported = 0
  #underWay = false
  /** The code of what the last write failed with. */
  #fault: string | undefined
  /** What it was when lines were dropped that are not reported yet. */
  #lossCode: string | undefined
  #timer: NodeJS.Timeout | undefined
  #isShared = false

  /** A pipe has to be non-blocking: otherwise a stalled one holds a thread of libuv, and with it the exit. */
  constructor(fd: number) {
    this.#fd = fd
  }

  /** Lines that were dropped since the process began. */
  get dropped(): number {
    return this.#dropped
  }

  /** Other processes write to it too: from now on batches are whole lines that no other line can get into. */
  share(): void {
    this.#isShared = true
  }

  /** `line` ends in a newline. */
  write(line: string): void {
    const bytes = Buffer.byteLength(line)
    if (this.#waitingBytes + bytes > MOST_WAITING_BYTES) {
      this.#dropped++
      this.#lossCode = this.#fault ?? this.#lossCode
      return
    }
    this.#waitingBytes += bytes
    this.#lines.push(line)
    if (this.#underWay || this.#fault !== undefined) return
    if (this.#waitingBytes >= this.#enoughBytes) this.#writeBatch()
    else this.#writeIn(BATCH_MS)
  }

  get #enoughBytes(): number {
    return this.#isShared ? SHARED_BATCH_BYTES : BATCH_BYTES
  }

  /** Resolves once all is written, or after 300 ms: for an orderly end. */
  async flush(): Promise<void> {
    const deadline = performance.now() + FLUSH_MS
    while (this.#waitingBytes > 0 && performance.now() < deadline) {
      this.#writeBatch()
      await sleep(LOOK_AGAIN_MS)
    }
  }

  /** For the very end, without an event loop: tries for 150 ms. */
  flushSync(): void {
    // A thread finishes what is under way before the process ends.
    if (this.#underWay) this.#advance(this.#batch.length)
    const deadline = performance.now() + EXIT_MS
    do {
      try {
        this.#advance(writeSync(this.#fd, this.#nextBatch()))
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== 'EAGAIN') return
        Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, LOOK_AGAIN_MS)
      }
    } while (this.#waitingBytes > 0 && performance.now() < deadline)
  }

  /** Waiting does not keep the process. */
  #writeIn(ms: number): void {
    this.#timer ??= setTimeout(() => this.#writeBatch(), ms).unref()
  }

  #writeBatch(): void {
    clearTimeout(this.#timer)
    this.#timer = undefined
    if (this.#underWay) return
    this.#underWay = true
    write(this.#fd, this.#nextBatch(), (error, written) => {
      this.#underWay = false
      this.#fault = error?.code
      if (!error) this.#advance(written)
      this.#continue()
    })
  }

  #nextBatch(): Buffer {
    if (this.#batch.length === 0) {
      this.#batch = Buffer.from(this.#takeLines().join(''))
    }
    return this.#batch
  }

  #takeLines(): string[] {
    let count = this.#lines.length
    if (this.#isShared) {
      let bytes = 0
      count = this.#lines.findIndex((line, index) => {
        bytes += Buffer.byteLength(line)
        return index > 0 && bytes > SHARED_BATCH_BYTES
      })
      if (count < 0) count = this.#lines.length
    }
    return this.#lines.splice(0, count)
  }

  #advance(written: number): void {
    this.#batch = this.#batch.subarray(written)
    this.#waitingBytes -= written
  }

  #continue(): void {
    if (this.#fault !== undefined) this.#writeIn(RETRY_MS)
    else if (this.#batch.length > 0 || this.#waitingBytes >= this.#enoughBytes) this.#writeBatch()
    else {
      if (this.#waitingBytes > 0) this.#writeIn(BATCH_MS)
      this.#reportLoss()
    }
  }

  #reportLoss(): void {
    const lines = this.#dropped - this.#reported
    if (lines === 0) return
    this.#reported = this.#dropped
    this.onRecovery({ lines, code: this.#lossCode })
    this.#lossCode = undefined
  }
}

let stdout: LogDestination | undefined

/** The one on file descriptor 1, which is written to the end when the process ends. */
export function standardOutput(): LogDestination {
  if (stdout) return stdout
  const destination = new LogDestination(1)
  // To ask for a stream makes its pipe non-blocking. And what else writes there must not end the process either.
  for (const stream of [process.stdout, process.stderr]) stream.on('error', () => {})
  process.on('exit', () => destination.flushSync())
  stdout = destination
  return destination
}
