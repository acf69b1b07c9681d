import { performance } from 'node:perf_hooks'
import { setTimeout as sleep } from 'node:timers/promises'
import { Checks } from '../engine/checks.ts'
import { send } from '../gateway-configs/client.ts'
import { type Envoy, findEnvoy } from '../gateway-configs/envoy.ts'
import { until } from '../support/until.ts'
import { printListSizes } from './list-size.ts'
import { readOptions } from './options.ts'
import { OtherTokens } from './other-tokens.ts'
import { type Setting, startSetting, tokenOf } from './setting.ts'

/**
 * revocations/ revokes tokens at real Envoys that receive the list, under load, and measures how long they are accepted:
 *
 *   npm run revocations                                                                short
 *   npm run revocations -- --rounds 500 --partition 60 --entries 0,1000,10000,100000   as docs/guides/emergencies.md has it
 *
 * Needs Envoy (scripts/install-gateways.sh) and a quiet machine. Ends with "N passed, N failed".
 */
if (!findEnvoy()) {
  console.log('skipped: there is no Envoy: run `bash scripts/install-gateways.sh`\n0 passed, 0 failed')
  process.exit(0)
}
const options = readOptions()
const checks = new Checks()
const setting = await startSetting()
try {
  const { secret } = await setting.mintmark.tenantWithKey()
  let live = await tokenOf(setting, secret)
  const renewal = setInterval(() => void tokenOf(setting, secret).then(token => (live = token)), 60_000)
  const others = new OtherTokens([setting.first, setting.second], () => live)
  await part(() => checkRounds(setting))
  await part(() => checkPartition(setting))
  await part(() => checkStrangers(setting))
  await part(() => checkRestore(setting))
  await others.stop()
  clearInterval(renewal)
  console.log(`\n  ${others.requests} requests with other tokens meanwhile`)
  await checks.equal('none of them was refused', [], () => others.refused)
  await part(() => checkWithoutMintmark(setting))
} finally {
  await setting.stop()
}
await part(() => printListSizes(options.entries))
checks.end()

/** A part that ends with an error is a failure, and ends no other. */
function part(work: () => Promise<void>): Promise<void> {
  return checks.equal('it ran to its end', undefined, work)
}

async function liveToken({ mintmark, first, second }: Setting) {
  const mine = await mintmark.tenantWithKey()
  const token = await tokenOf(setting, mine.secret)
  for (const envoy of [first, second]) {
    const status = await statusOf(envoy, token)
    if (status !== 200) throw new Error(`a new token got ${status}`)
  }
  return { ...mine, token }
}

async function statusOf(envoy: Envoy, token: string): Promise<number> {
  return (await send(envoy.url, { token })).status
}

/** Milliseconds until the token is refused. */
async function refusedAfter(envoy: Envoy, token: string, since = performance.now()): Promise<number> {
  await until(
    '401',
    () => statusOf(envoy, token),
    status => status === 401,
    30_000,
  )
  return performance.now() - since
}

const revoke = ({ mintmark }: Setting, key: string) => mintmark.admin('POST', '/token-revocations', { key })

async function checkRounds({ first, second }: Setting): Promise<void> {
  const waits: number[] = []
  for (let round = 0; round < options.rounds; round++) {
    const { keyId, token } = await liveToken(setting)
    await revoke(setting, keyId)
    const since = performance.now()
    waits.push(...(await Promise.all([first, second].map(envoy => refusedAfter(envoy, token, since)))))
  }
  waits.sort((a, b) => a - b)
  const at = (share: number) =>
    Math.round(waits[Math.min(waits.length - 1, Math.floor(share * waits.length))] ?? 0)
  console.log(
    `\n  from the response of the admin API to the refusal, ${waits.length} times, ms: median ${at(0.5)}, 99 % ${at(0.99)}, longest ${at(1)}`,
  )
  await checks.equal('all within a second', [], () => waits.filter(ms => ms > 1_000).map(Math.round))
}

async function checkPartition({ mintmark, first, second, proxy }: Setting): Promise<void> {
  const { keyId, token } = await liveToken(setting)
  await proxy.become('freeze')
  await revoke(setting, keyId)
  const connected = await refusedAfter(first, token)
  await sleep(options.partitionSeconds * 1_000)
  await checks.equal('the partitioned Envoy still accepts it', 200, () => statusOf(second, token))
  const shown = async () => {
    const { data } = (await mintmark.admin('GET', '/gateways')).body
    return data.find(({ name }: { name: string }) => name === 'second').state
  }
  await checks.equal('and is shown as behind or not connected', true, async () =>
    ['behind', 'not_connected'].includes(await shown()),
  )
  const healed = performance.now()
  await proxy.become('none')
  const after = await refusedAfter(second, token, healed)
  console.log(
    `\n  one Envoy partitioned for ${options.partitionSeconds} s: the other refused after ${Math.round(connected)} ms, it itself ${Math.round(after)} ms after the healing`,
  )
  await checks.equal('the other one is unaffected', true, () => connected < 1_000)
  await checks.equal('it refuses within 2 s of the healing', true, () => after < 2_000)
}

async function checkStrangers({ envoy, xdsPort }: Setting): Promise<void> {
  const { keyId, token } = await liveToken(setting)
  await revoke(setting, keyId)
  await refusedAfter(setting.first, token)
  const stranger = await envoy('x'.repeat(32), xdsPort, 'closed')
  await checks.equal('an Envoy with a wrong token receives no list', 503, () => statusOf(stranger, token))
  await stranger.stop()
}

/** The database is one from before the revocation: the running replica, and so the gateways, keep it. */
async function checkRestore({ mintmark, first, second }: Setting): Promise<void> {
  const { keyId, token } = await liveToken(setting)
  await revoke(setting, keyId)
  for (const envoy of [first, second]) await refusedAfter(envoy, token)
  await mintmark.database.asOwner('DELETE FROM token_revocations')
  // Another list is sent.
  const next = await liveToken(setting)
  await revoke(setting, next.keyId)
  for (const envoy of [first, second]) await refusedAfter(envoy, next.token)
  await checks.equal('refused although the database lost the revocation', [401, 401], () =>
    Promise.all([first, second].map(envoy => statusOf(envoy, token))),
  )
}

async function checkWithoutMintmark({ mintmark, first }: Setting): Promise<void> {
  const { keyId, token } = await liveToken(setting)
  await revoke(setting, keyId)
  await refusedAfter(first, token)
  await mintmark.service.stop()
  await sleep(2_000)
  await checks.equal('refused while Mintmark is stopped', 401, () => statusOf(first, token))
}
