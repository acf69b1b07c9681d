import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import {
  connect as connectHttp2,
  createSecureServer,
  createServer,
  type SecureClientSessionOptions,
} from 'node:http2'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { delimitedField } from '../../src/http/protobuf.ts'
import { FILTER_NAME } from '../../src/xds/deny-filter.ts'
import { EXTENSION_CONFIG, METHOD } from '../../src/xds/discovery-messages.ts'
import { framed } from '../../src/xds/grpc-stream.ts'
import { LIST_PATH } from '../../src/xds/revocation-list.ts'
import type { Checks } from '../engine/checks.ts'
import type { Environment } from '../faults/environment/environment.ts'
import { type Envoy, substitute } from '../gateway-configs/envoy.ts'
import { type Certificate, makeAuthority, makeCertificate } from '../support/certificates.ts'
import { freePort } from '../support/free-port.ts'
import { TcpProxy } from '../support/tcp-proxy.ts'
import { until } from '../support/until.ts'
import { Attacker, Recorder, Replay } from './attacker-servers.ts'
import { type Credential, live, refusedAfter, revoke, type Setting, statusOf, TOKENS } from './setting.ts'

const AUTHORITY = makeAuthority('gateways')
const SERVER = makeCertificate(AUTHORITY, {
  name: 'mintmark',
  authorityName: 'gateways',
  dnsNames: ['mintmark'],
})
const CLIENT = makeCertificate(AUTHORITY, { name: 'inference', authorityName: 'gateways' })
const OTHERS = makeAuthority('gateways')
const FORGED = makeCertificate(OTHERS, {
  name: 'mintmark',
  authorityName: 'gateways',
  dnsNames: ['mintmark'],
})
const FOREIGN = makeCertificate(OTHERS, { name: 'inference', authorityName: 'gateways' })
const NOTHING = ['nothing', 'nothing']
/** As long as the attacker's server is where Envoy looks for Mintmark: it connects several times. */
const ATTACKED_MS = 5_000

/** Someone on the network path between an Envoy and Mintmark, with TLS as the guide says, and without. */
export async function checkAttackers(
  checks: Checks,
  environment: Environment,
  setting: Setting,
): Promise<void> {
  await checkWithTls(checks, environment, setting)
  const proxy = await TcpProxy.before(`http://127.0.0.1:${setting.xdsPort}`)
  environment.onEnd(() => proxy.close())
  const envoy = await setting.envoy({ token: TOKENS.third, port: portOf(proxy) })
  const mine = await revokedAt(setting, envoy)
  const attacker = await Attacker.start(createServer())
  environment.onEnd(() => attacker.close())
  proxy.leadTo(attacker.url)
  await checks.equal('without TLS an empty list of an attacker is accepted: the attack is one', 200, () =>
    until(
      '200',
      () => statusOf(envoy, mine.token),
      status => status === 200,
      30_000,
    ),
  )
  await checks.equal('and the token of the gateway is read', true, () =>
    attacker.read.includes(`Bearer ${TOKENS.third}`),
  )
  await envoy.stop()
  const stranger = await setting.envoy({
    token: 'x'.repeat(32),
    port: setting.xdsPort,
    withoutList: 'closed',
  })
  await checks.equal('an Envoy with a wrong token receives no list', 503, () =>
    statusOf(stranger, mine.token),
  )
  await stranger.stop()
}

async function checkWithTls(checks: Checks, environment: Environment, setting: Setting): Promise<void> {
  const xdsPort = await freePort()
  const secured = await setting.replica(setting.postgres.applicationUrl(), {
    MINTMARK_XDS_PORT: String(xdsPort),
    MINTMARK_PUBLIC_PORT: '0',
    MINTMARK_SNAPSHOT_DIR: '',
    MINTMARK_XDS_TLS_CERTIFICATE: SERVER.certificate,
    MINTMARK_XDS_TLS_KEY: SERVER.key,
    MINTMARK_XDS_CLIENT_CA: AUTHORITY.certificate,
  })
  const recorder = await Recorder.before(xdsPort)
  environment.onEnd(() => recorder.close())
  const proxy = await TcpProxy.before(`http://127.0.0.1:${recorder.port}`)
  environment.onEnd(() => proxy.close())
  const folder = mkdtempSync(join(tmpdir(), 'mintmark-xds-tls-'))
  environment.onEnd(() => rmSync(folder, { recursive: true, force: true }))
  const transportSocket = mutualTls(folder, AUTHORITY, CLIENT)
  const envoy = await setting.envoy({ token: TOKENS.third, port: portOf(proxy), transportSocket })
  // What was recorded until now is a list without this one.
  const older = recorder.recorded
  const mine = await revokedAt(setting, envoy)
  const other = await live(setting, [envoy])
  const unchanged = async () => [await statusOf(envoy, mine.token), await statusOf(envoy, other.token)]

  const forged = await Attacker.start(createSecureServer({ cert: FORGED.certificate, key: FORGED.key }))
  environment.onEnd(() => forged.close())
  proxy.leadTo(forged.url)
  await sleep(ATTACKED_MS)
  await checks.equal('an empty list with a wrong certificate changes nothing', [401, 200], unchanged)
  await checks.equal('Envoy tried to connect to it, and told it nothing', [true, []], () => [
    forged.connections > 0,
    forged.read,
  ])

  const plain = await Attacker.start(createServer())
  environment.onEnd(() => plain.close())
  proxy.leadTo(plain.url)
  await sleep(ATTACKED_MS)
  await checks.equal('an empty list without TLS changes nothing', [401, 200], unchanged)
  await checks.equal('Envoy told it nothing', [true, []], () => [plain.connections > 0, plain.read])

  const replay = await Replay.of(older)
  environment.onEnd(() => replay.close())
  proxy.leadTo(replay.url)
  await sleep(ATTACKED_MS)
  await checks.equal(
    'the recorded connection with an older list, replayed, changes nothing',
    [401, 200],
    unchanged,
  )
  await checks.equal('it was replayed', true, () => older.length > 0 && replay.connections > 0)

  proxy.leadTo(`http://127.0.0.1:${recorder.port}`)
  await checks.equal('Mintmark is reached again: another revocation arrives', true, async () => {
    const next = await live(setting, [envoy])
    await revoke(setting, next)
    await refusedAfter(envoy, next.token)
    return true
  })

  const url = `https://127.0.0.1:${xdsPort}`
  const bearer = { authorization: `Bearer ${TOKENS.third}` }
  const shown = ({ certificate, key }: Certificate) => ({ cert: certificate, key })
  await checks.equal('a reader without a certificate reads nothing', NOTHING, () => readBoth(url, bearer, {}))
  await checks.equal('a reader with a certificate of another authority reads nothing', NOTHING, () =>
    readBoth(url, bearer, shown(FOREIGN)),
  )
  await checks.equal('a reader with a certificate and no token reads nothing', NOTHING, () =>
    readBoth(url, {}, shown(CLIENT)),
  )
  await checks.equal('one with both reads the list: the questions were right', ['the list', 'the list'], () =>
    readBoth(url, bearer, shown(CLIENT)),
  )
  await envoy.stop()
  await secured.process.kill()
}

/** The block of docs/guides/envoy.md, with these certificates. */
function mutualTls(folder: string, authority: Certificate, client: Certificate): string {
  const guide = readFileSync(new URL('../../docs/guides/envoy.md', import.meta.url), 'utf8')
  const [, block = ''] = /```yaml\n(transport_socket:\n[^`]+)```/.exec(guide) ?? []
  const files = { 'ca.crt': authority.certificate, 'tls.crt': client.certificate, 'tls.key': client.key }
  for (const [name, text] of Object.entries(files)) writeFileSync(join(folder, name), text, { mode: 0o600 })
  return substitute(block, [
    ['/etc/envoy/xds', folder],
    ['mintmark-xds.example.com', 'mintmark'],
  ])
}

const portOf = ({ url }: { url: string }) => Number(new URL(url).port)

async function revokedAt(setting: Setting, envoy: Envoy): Promise<Credential> {
  const mine = await live(setting, [envoy])
  await revoke(setting, mine)
  await refusedAfter(envoy, mine.token)
  return mine
}

const SUBSCRIPTION = framed(
  Buffer.concat([delimitedField(3, FILTER_NAME), delimitedField(4, EXTENSION_CONFIG)]),
)

/** What a reader is sent on the stream for gateways, and as the list in JSON. */
const readBoth = async (
  url: string,
  headers: Record<string, string>,
  options: SecureClientSessionOptions,
) => [
  await read(url, { ':method': 'POST', ':path': METHOD, ...headers }, options, SUBSCRIPTION),
  await read(url, { ':method': 'GET', ':path': LIST_PATH, ...headers }, options),
]

async function read(
  url: string,
  headers: Record<string, string>,
  options: SecureClientSessionOptions,
  sent?: Buffer,
): Promise<'the list' | 'nothing'> {
  const session = connectHttp2(url, { ca: AUTHORITY.certificate, servername: 'mintmark', ...options })
  session.on('error', () => {})
  const stream = session.request(headers, { endStream: sent === undefined })
  let status = 0
  let isRead = false
  stream.on('error', () => {})
  stream.on('response', answer => {
    status = Number(answer[':status'])
  })
  stream.on('data', () => {
    isRead = true
  })
  if (sent) stream.write(sent)
  const isOver = () => isRead || stream.closed || stream.destroyed
  await until('an answer, or the end', isOver, Boolean, 5_000)
  session.destroy()
  return status === 200 && isRead ? 'the list' : 'nothing'
}
