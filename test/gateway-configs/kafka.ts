import { execFile } from 'node:child_process'
import { existsSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { connect } from 'node:net'
import { homedir, tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { type Program, startProgram } from '../istiod/programs.ts'
import { freePort } from '../support/free-port.ts'
import { until } from '../support/until.ts'
import { isAbsent } from './program.ts'

const CACHE = process.env.MINTMARK_CACHE ?? join(homedir(), '.cache', 'mintmark')
const folder = (existsSync(CACHE) ? readdirSync(CACHE) : []).findLast(name => name.startsWith('kafka-'))
const CLASSES = join(CACHE, folder ?? 'kafka-', 'lib', '*')

/** There is none from scripts/install-kafka.sh, or no Java. */
export const noKafka = folder === undefined || isAbsent('java')

export interface Kafka {
  /** Of the broker. */
  address: string
  /** All messages of a topic, as Kafka's own consumer prints them. */
  messages(topic: string): Promise<Buffer[]>
  createTopic(topic: string): Promise<void>
  /** `kill -9`. */
  kill(): Promise<void>
  /** Again, with what it has on disk. */
  start(): Promise<void>
  stop(): Promise<void>
}

/** One broker of Apache Kafka, which is its own controller. */
export async function startKafka(): Promise<Kafka> {
  const home = mkdtempSync(join(tmpdir(), 'mintmark-kafka-'))
  const [port, controllerPort] = [await freePort(), await freePort()]
  const address = `127.0.0.1:${port}`
  const properties = join(home, 'server.properties')
  writeFileSync(
    properties,
    `process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:${controllerPort}
listeners=PLAINTEXT://${address},CONTROLLER://127.0.0.1:${controllerPort}
controller.listener.names=CONTROLLER
log.dirs=${join(home, 'data')}
offsets.topic.replication.factor=1
`,
  )
  const java = (name: string, ...words: string[]) =>
    promisify(execFile)('java', ['-XX:TieredStopAtLevel=1', '-cp', CLASSES, name, ...words], {
      maxBuffer: 100_000_000,
    })
  await java('kafka.tools.StorageTool', 'format', '-t', 'MkU3OEVBNTcwNTJENDM2Qk', '-c', properties)
  let program: Program | undefined
  const kafka: Kafka = {
    address,
    createTopic: async topic =>
      void (await java(
        'org.apache.kafka.tools.TopicCommand',
        ...['--bootstrap-server', address, '--create', '--topic', topic, '--partitions', '3'],
      )),
    messages: async topic => {
      const { stdout } = await java(
        'org.apache.kafka.tools.consumer.ConsoleConsumer',
        ...['--bootstrap-server', address, '--topic', topic, '--from-beginning', '--timeout-ms', '8000'],
        ...['--property', 'value.deserializer=org.apache.kafka.common.serialization.BytesDeserializer'],
      )
      return stdout.split('\n').flatMap(line => (line === '' ? [] : [bytesOf(line)]))
    },
    kill: async () => program?.stop(),
    start: async () => {
      const words = ['-Xmx256m', '-XX:+UseSerialGC', '-XX:TieredStopAtLevel=1', '-cp', CLASSES]
      const started = startProgram(home, 'java', [...words, 'kafka.Kafka', properties])
      program = started
      await until('Kafka listens', () => listens(port), Boolean, 60_000).catch(error => {
        throw new Error(`it does not start: ${started.log().slice(-4_000)}`, { cause: error })
      })
    },
    stop: async () => {
      await program?.stop()
      rmSync(home, { recursive: true, force: true })
    },
  }
  await kafka.start()
  return kafka
}

/** Of Kafka's `Bytes`: printable ASCII, and `\xAB` for all else, a backslash too. */
const bytesOf = (line: string): Buffer =>
  Buffer.from(
    line.replace(/\\x([0-9A-F]{2})/g, (_, code: string) => String.fromCharCode(Number.parseInt(code, 16))),
    'latin1',
  )

function listens(port: number): Promise<boolean> {
  return new Promise(resolve => {
    const socket = connect(port, '127.0.0.1', () => resolve(true))
    socket.once('error', () => resolve(false))
    socket.once('connect', () => socket.destroy())
  })
}
