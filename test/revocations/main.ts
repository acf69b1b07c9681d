import { performance } from 'node:perf_hooks'
import { setTimeout as sleep } from 'node:timers/promises'
import { Checks } from '../engine/checks.ts'
import { Environment } from '../faults/environment/environment.ts'
import { type Envoy, findEnvoy } from '../gateway-configs/envoy.ts'
import { until } from '../support/until.ts'
import { printListSizes } from './list-size.ts'
import { readOptions } from './options.ts'
import { OtherTokens } from './other-tokens.ts'
import { type Credential, revoke, type Setting, startSetting, statusOf } from './setting.ts'

/**
 * revocations/ revokes tokens at real Envoys that receive the list, under load, and measures how long they are accepted:
 *
 *   npm run revocations                                                                short
 *   npm run revocations -- --rounds 500 --partition 60 --entries 0,1000,10000,100000   long
 *
 * Needs Envoy (scripts/install-gateways.sh) and a quiet machine. Ends with "N passed, N failed".
 */
if (!findEnvoy()) {
  console.log('skipped: there is no Envoy: run `bash scripts/install-gateways.sh`\n0 passed, 0 failed')
  process.exit(0)
}
const options = readOptions()
const checks = new Checks()
const environment = new Environment({ full: false })
for (const signal of ['SIGINT', 'SIGTERM'] as const)
  process.once(signal, () => void environment.close().then(() => process.exit(1)))
/** A part that ends with an error is a failure, and ends no other. */
const part = (work: () => Promise<void>) => checks.equal('it ran to its end', undefined, work)
try {
  const setting = await startSetting(environment)
  const others = new OtherTokens([setting.first, setting.second], (await setting.credential()).token)
  await part(() => checkRounds(setting))
  await part(() => checkPartition(setting))
  await part(() => checkStranger(setting))
  await part(() => checkRestore(setting))
  await others.stop()
  console.log(`\n  ${others.requests} requests with a token that is not revoked meanwhile`)
  await checks.equal('none of them was refused', [], () => others.refused)
  await part(() => checkWithoutMintmark(setting))
} finally {
  await environment.close()
}
await part(() => printListSizes(options.entries))
checks.end()

/** Accepted at both. */
async function live({ first, second, credential }: Setting): Promise<Credential> {
  const mine = await credential()
  for (const envoy of [first, second]) {
    const status = await statusOf(envoy, mine.token)
    if (status !== 200) throw new Error(`a new token got ${status}`)
  }
  return mine
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

async function checkRounds(setting: Setting): Promise<void> {
  const envoys = [setting.first, setting.second]
  const waits: number[] = []
  for (let round = 0; round < options.rounds; round++) {
    const mine = await live(setting)
    await revoke(setting, mine)
    const since = performance.now()
    waits.push(...(await Promise.all(envoys.map(envoy => refusedAfter(envoy, mine.token, since)))))
  }
  waits.sort((a, b) => a - b)
  const at = (share: number) =>
    Math.round(waits[Math.min(waits.length - 1, Math.floor(share * waits.length))] ?? 0)
  console.log(
    `\n  from the response of the admin API to the refusal, ${waits.length} times, ms: median ${at(0.5)}, 99 % ${at(0.99)}, longest ${at(1)}`,
  )
  await checks.equal('all within a second', [], () => waits.filter(ms => ms > 1_000).map(Math.round))
}

async function checkPartition(setting: Setting): Promise<void> {
  const { mintmark, first, second, proxy } = setting
  const mine = await live(setting)
  await proxy.become('freeze')
  await revoke(setting, mine)
  const connected = await refusedAfter(first, mine.token)
  await sleep(options.partitionSeconds * 1_000)
  await checks.equal('the partitioned Envoy still accepts it', 200, () => statusOf(second, mine.token))
  await checks.equal('and is not shown as current', false, async () => {
    const { data } = (await mintmark.admin('GET', '/gateways')).body
    return data.find(({ name }: { name: string }) => name === 'second').state === 'current'
  })
  const healed = performance.now()
  await proxy.become('none')
  const after = await refusedAfter(second, mine.token, healed)
  console.log(
    `\n  one Envoy partitioned for ${options.partitionSeconds} s: the other refused after ${Math.round(connected)} ms, it itself ${Math.round(after)} ms after the healing`,
  )
  await checks.equal('the other one is unaffected', true, () => connected < 1_000)
  await checks.equal('it refuses within 2 s of the healing', true, () => after < 2_000)
}

async function checkStranger(setting: Setting): Promise<void> {
  const { token } = await setting.credential()
  const stranger = await setting.envoy('x'.repeat(32), setting.xdsPort, 'closed')
  await checks.equal('an Envoy with a wrong token receives no list', 503, () => statusOf(stranger, token))
}

/** The database loses the revocation, as by a restore: the running replica, and so the gateways, keep it. */
async function checkRestore(setting: Setting): Promise<void> {
  const envoys = [setting.first, setting.second]
  const mine = await live(setting)
  await revoke(setting, mine)
  for (const envoy of envoys) await refusedAfter(envoy, mine.token)
  await setting.postgres.sql('DELETE FROM token_revocations')
  // Another list is sent.
  const next = await live(setting)
  await revoke(setting, next)
  for (const envoy of envoys) await refusedAfter(envoy, next.token)
  await checks.equal('refused although the database lost the revocation', [401, 401], () =>
    Promise.all(envoys.map(envoy => statusOf(envoy, mine.token))),
  )
}

async function checkWithoutMintmark(setting: Setting): Promise<void> {
  const mine = await live(setting)
  await revoke(setting, mine)
  await refusedAfter(setting.first, mine.token)
  await setting.mintmark.process.kill()
  await sleep(2_000)
  await checks.equal('refused while Mintmark is stopped', 401, () => statusOf(setting.first, mine.token))
}
