import { execFileSync } from 'node:child_process'
import { randomInt } from 'node:crypto'
import { createSocket, type Socket } from 'node:dgram'
import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

const PRELOAD = new URL('own-resolver.ts', import.meta.url)
const NAME = 'postgres.faults.test'
const PORT = 53
const TYPE_A = 1
const TTL = 0

/**
 * A name server for one process: every name has the address 127.0.0.1, until it is silent. The process uses it because
 * it has an /etc/resolv.conf of its own (a mount namespace).
 */
export class NameServer {
  /** It answers no more. */
  silent = false
  /** Questions so far. */
  lookups = 0
  readonly #socket: Socket
  readonly #folder = mkdtempSync(join(tmpdir(), 'mintmark-names-'))

  private constructor(socket: Socket) {
    this.#socket = socket
    writeFileSync(this.#resolvConf, `nameserver ${socket.address().address}\n`)
    socket.on('message', (question, { port, address }) => {
      this.lookups++
      if (!this.silent) socket.send(answerTo(question), port, address)
    })
  }

  static async start(): Promise<NameServer> {
    const socket = createSocket('udp4')
    // All of 127.0.0.0/8 is this machine: a random address is free.
    socket.bind(PORT, `127.77.${randomInt(256)}.${randomInt(1, 255)}`)
    await once(socket, 'listening')
    return new NameServer(socket)
  }

  /** This URL with a name for its host. */
  under(databaseUrl: string): string {
    const url = new URL(databaseUrl)
    url.hostname = NAME
    return url.href
  }

  /** Variables of a replica that uses it. */
  environment(): Record<string, string> {
    return { NODE_OPTIONS: `--import=${PRELOAD.href}`, RESOLV_CONF: this.#resolvConf }
  }

  close(): void {
    this.#socket.close()
    rmSync(this.#folder, { recursive: true })
  }

  get #resolvConf(): string {
    return join(this.#folder, 'resolv.conf')
  }
}

/** RFC 1035, section 4.1. A question for another type than A has no answer. */
function answerTo(question: Buffer): Buffer {
  const nameEnd = question.indexOf(0, 12)
  const asked = question.subarray(12, nameEnd + 5)
  const isA = question.readUInt16BE(nameEnd + 1) === TYPE_A
  const header = Buffer.from(question.subarray(0, 12))
  header.writeUInt16BE(0x8180, 2)
  header.writeUInt16BE(isA ? 1 : 0, 6)
  header.writeUInt16BE(0, 8)
  header.writeUInt16BE(0, 10)
  // A pointer to the name of the question, type A, class IN.
  const record = Buffer.from([0xc0, 12, 0, TYPE_A, 0, 1, 0, 0, 0, TTL, 0, 4, 127, 0, 0, 1])
  return Buffer.concat(isA ? [header, asked, record] : [header, asked])
}

/** Why it cannot be used here. */
export function lacksNameServer(): string | undefined {
  try {
    execFileSync('unshare', ['--mount', 'true'], { stdio: 'ignore' })
    return undefined
  } catch {
    return 'a name server of its own takes root and unshare'
  }
}
