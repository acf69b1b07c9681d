import { execFile } from 'node:child_process'
import { generateKeyPairSync } from 'node:crypto'
import { once } from 'node:events'
import { mkdtemp, readdir, readFile, rm, stat } from 'node:fs/promises'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'

const SCRIPT = new URL('../../deploy/fetch-keys.sh', import.meta.url).pathname
const KIDS = ['A'.repeat(43), `-${'b'.repeat(42)}`]
const newPem = () =>
  generateKeyPairSync('ec', { namedCurve: 'P-256' })
    .publicKey.export({ type: 'spki', format: 'pem' })
    .toString()

let folder: string
let server: Server
let url: string
/** What is served, by kid. */
let pems: Map<string, string>
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'mintmark-keys-'))
  pems = new Map([[KIDS[0] ?? '', newPem()]])
  server = createServer((req, res) => {
    const [, kid] = /^\/\.well-known\/jwks\/([\w-]+)\.pem$/.exec(req.url ?? '') ?? []
    const jwks = JSON.stringify({ keys: [...pems.keys()].map(each => ({ kid: each })) })
    res.end(kid === undefined ? jwks : pems.get(kid))
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
})
afterEach(async () => {
  server.closeAllConnections()
  server.close()
  await rm(folder, { recursive: true, force: true })
})

const fetchKeys = (slots?: number) =>
  new Promise<{ code: number; stderr: string }>(resolve => {
    const args = [SCRIPT, url, folder, ...(slots === undefined ? [] : [String(slots)])]
    execFile('bash', args, (error, _, stderr) => resolve({ code: Number(error?.code ?? 0), stderr }))
  })
const stored = async () => {
  const names = (await readdir(folder)).toSorted()
  return Object.fromEntries(
    await Promise.all(names.map(async name => [name, await readFile(join(folder, name), 'utf8')] as const)),
  )
}

describe.each([
  ['a file for each key', undefined],
  ['three slots', 3],
] as const)('fetch-keys.sh, with %s', (_, slots) => {
  const named = (keys: Map<string, string>) => {
    if (slots === undefined) return Object.fromEntries([...keys].map(([kid, pem]) => [`${kid}.pem`, pem]))
    const sorted = [...keys].toSorted(([one], [other]) => (one < other ? -1 : 1)).map(([, pem]) => pem)
    return Object.fromEntries([1, 2, 3].map(slot => [`key-${slot}.pem`, sorted[slot - 1] ?? sorted.at(-1)]))
  }

  it('stores the published keys, and exits with 10 when they changed', async () => {
    expect((await fetchKeys(slots)).code).toBe(10)
    expect(await stored()).toEqual(named(pems))
    expect((await fetchKeys(slots)).code).toBe(0)
    pems.set(KIDS[1] ?? '', newPem())
    expect((await fetchKeys(slots)).code).toBe(10)
    expect(Object.values(await stored()).toSorted()).toEqual(Object.values(named(pems)).toSorted())
    pems.delete(KIDS[0] ?? '')
    expect((await fetchKeys(slots)).code).toBe(10)
    expect(await stored()).toEqual(named(pems))
  })

  const good = newPem()
  it.each([
    ['a page', '<html><body>Log in</body></html>\n'],
    ['nothing', ''],
    ['a key that was cut off', good.slice(0, -30)],
    ['a key without its first line', good.split('\n').slice(1).join('\n')],
    ['an empty key', '-----BEGIN PUBLIC KEY-----\n-----END PUBLIC KEY-----\n'],
    ['two keys', good + newPem()],
    ['a key in a page', `<pre>\n${good}</pre>\n`],
    ['a key, and then a page', `${good}<html>\n`],
    ['a key with a page inside', good.replace('\n', '\n<html>\n')],
    ['another kind of PEM', good.replaceAll('PUBLIC KEY', 'CERTIFICATE')],
  ])('changes no file when one key is %s', async (_, served) => {
    pems.set(KIDS[1] ?? '', newPem())
    expect((await fetchKeys(slots)).code).toBe(10)
    const before = await stored()
    pems.set(KIDS[0] ?? '', newPem())
    pems.set(KIDS[1] ?? '', served)
    const { code, stderr } = await fetchKeys(slots)
    expect(code).toBe(1)
    expect(stderr).toContain('is not a public key in PEM')
    expect(await stored()).toEqual(before)
  })

  it('replaces a file in one step: a reader of the old one still has all of it', async () => {
    await fetchKeys(slots)
    const [name = ''] = await readdir(folder)
    const before = await stat(join(folder, name))
    pems.set(KIDS[0] ?? '', newPem())
    await fetchKeys(slots)
    const after = await stat(join(folder, name))
    expect(after.ino).not.toBe(before.ino)
    expect(after.mode & 0o777).toBe(0o644)
  })
})
