import { execFile } from 'node:child_process'
import { createHash, randomBytes } from 'node:crypto'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import OpenAI, { toFile } from 'openai'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { deployFiles } from '../../deploy/generate/deploy-files.ts'
import { LONGEST_BODY_BYTES, ROUTES } from '../../src/gateway/headers.ts'
import { lacksPython, python } from '../clients/python.ts'
import { type CheckEnvironment, startCheckEnvironment } from './check-environment.ts'
import { send } from './client.ts'
import { noEnvoy, startEnvoy, substitute } from './envoy.ts'
import { ambiguousForms, type FormCase, ordinaryForms, randomForms } from './form-cases.ts'
import { type Part, startFormEngine } from './form-engine.ts'

/** The group audio at Envoy: the model in a form is checked, and the engine's parser finds the model that was checked. */
const [PATH = '', OTHER_PATH = ''] = ROUTES.filter(({ model }) => model === 'form').map(({ path }) => path)
const OWN = 'acme-sql'
const FOREIGN = 'globex-sql'
const SEED = 20_261_129
const RANDOM = 2_000
const models = { own: OWN, other: FOREIGN }
const [PLAIN] = Object.values(ordinaryForms(models))
const FILES = [
  ['envoy.yaml', 'token'],
  ['envoy-api-keys.yaml', 'token'],
  ['envoy-api-keys.yaml', 'key'],
] as const

describe.skipIf(noEnvoy || lacksPython()).each(FILES)('forms at deploy/envoy/%s with a %s', (name, kind) => {
  const content = randomBytes(200_000)
  const arrived = { filename: 'speech.wav', sha256: createHash('sha256').update(content).digest('hex') }
  const expected = { model: OWN, language: 'en', file: arrived }
  let engine: Awaited<ReturnType<typeof startFormEngine>>
  let environment: CheckEnvironment
  let folder: string
  let url: string
  let credential: string

  beforeAll(async () => {
    engine = await startFormEngine()
    environment = await startCheckEnvironment(({ ports }) =>
      startEnvoy(
        substitute(deployFiles(['openai', 'audio'])[`deploy/envoy/${name}`] ?? '', [
          ['address: mintmark, port_value: 8080', `address: 127.0.0.1, port_value: ${ports.public}`],
          ['address: vllm, port_value: 8000', `address: 127.0.0.1, port_value: ${engine.port}`],
          ['address: 0.0.0.0, port_value: 10000', 'address: 127.0.0.1, port_value: 0'],
          ['address: 127.0.0.1, port_value: 9901', 'address: 127.0.0.1, port_value: 0'],
          ...(name === 'envoy.yaml'
            ? []
            : ([
                ['address: mintmark, port_value: 8082', `address: 127.0.0.1, port_value: ${ports.gateway}`],
              ] as [string, string][])),
        ]),
      ),
    )
    folder = mkdtempSync(join(tmpdir(), 'mintmark-audio-'))
    writeFileSync(join(folder, 'speech.wav'), content)
    url = environment.gateway.url
    credential = kind === 'key' ? environment.acme.secret : environment.acme.token
  })
  afterAll(async () => {
    await environment?.stop()
    await engine?.stop()
    if (folder) rmSync(folder, { recursive: true })
  })

  const ask = (form: FormCase | undefined, headers: [string, string][] = []) =>
    send(url, { path: PATH, token: credential, ...form, headers })
  const byName = (parts: readonly Part[]) => Object.fromEntries(parts)

  it("takes files from OpenAI's client for JavaScript, and refuses another tenant's model", async () => {
    const client = new OpenAI({ apiKey: credential, baseURL: `${url}/v1`, maxRetries: 0 })
    const transcribe = async (model: string) =>
      client.audio.transcriptions.create({ model, language: 'en', file: await toFile(content, 'speech.wav') })
    const { parts } = (await transcribe(OWN)) as unknown as { parts: Part[] }
    expect(byName(parts)).toEqual(expected)
    await expect(transcribe(FOREIGN)).rejects.toThrow(OpenAI.PermissionDeniedError)
  })

  it("takes files from OpenAI's client for Python, and refuses another tenant's model", async () => {
    const script = new URL('audio_client.py', import.meta.url).pathname
    const given = { url, credential, own: OWN, other: FOREIGN, file: join(folder, 'speech.wav') }
    const { parts, foreign } = JSON.parse(await run(python, [script], JSON.stringify(given)))
    expect(byName(parts)).toEqual(expected)
    expect(foreign).toBe('PermissionDeniedError')
  })

  it('takes files from curl, on both routes', async () => {
    for (const path of [PATH, OTHER_PATH]) {
      const fields = [`file=@${folder}/speech.wav`, `model=${OWN}`, 'language=en'].flatMap(each => [
        '-F',
        each,
      ])
      const header = `header = "Authorization: Bearer ${credential}"\n`
      const { parts } = JSON.parse(await run('curl', ['-sS', ...fields, url + path, '--config', '-'], header))
      expect(byName(parts)).toEqual(expected)
    }
  })

  it('hands on the identity, and neither the credential nor forged headers', async () => {
    const { status, text } = await ask(PLAIN, [
      ['X-Tenant-Id', 'globex'],
      ['X-Vllm-Priority', '-999'],
      ['X-Gateway-Model-Name', FOREIGN],
    ])
    expect(status).toBe(200)
    const { headers } = JSON.parse(text)
    expect(headers).toMatchObject({
      ...{ 'x-tenant-id': 'acme', 'x-vllm-priority': '-10', 'x-gateway-model-name': OWN },
    })
    expect(text).not.toMatch(/mmk_|eyJ|-999/)
  })

  it('refuses a form without a credential, a longer one, and JSON', async () => {
    const { status } = await send(url, { path: PATH, ...PLAIN })
    expect(status).toBe(401)
    const body = Buffer.concat([PLAIN?.body ?? Buffer.alloc(0), Buffer.alloc(LONGEST_BODY_BYTES, 'x')])
    expect((await ask({ contentType: PLAIN?.contentType ?? '', body })).status).toBe(413)
    const json = Buffer.from(JSON.stringify({ model: OWN }))
    expect((await ask({ contentType: 'application/json', body: json })).status).toBe(415)
  })

  it.each(Object.entries(ordinaryForms(models)))('admits %s', async (_, form) => {
    const { status, text } = await ask(form)
    expect(status).toBe(200)
    expect(byName(JSON.parse(text).parts)).toMatchObject({ model: OWN })
  })

  it.each(Object.entries(ambiguousForms(models)))('refuses %s', async (_, form) => {
    const { status, text } = await ask(form)
    expect([400, 415]).toContain(status)
    expect(JSON.parse(text).error).toMatchObject({ type: 'invalid_request_error' })
  })

  it.runIf(name === 'envoy.yaml')(
    `of ${RANDOM} random forms (seed ${SEED}), none brings another model to the engine`,
    { timeout: 120_000 },
    async () => {
      let admitted = 0
      for (const form of randomForms(models, SEED, RANDOM)) {
        const { status, text } = await ask(form)
        if (status !== 200) continue
        admitted++
        const found = (JSON.parse(text).parts as Part[]).filter(([field]) => field === 'model')
        expect(found, form.body.toString('latin1')).toEqual([['model', OWN]])
      }
      expect(admitted).toBeGreaterThan(10)
    },
  )
})

/** Secrets go by stdin. */
async function run(file: string, args: string[], input: string): Promise<string> {
  const running = promisify(execFile)(file, args)
  running.child.stdin?.end(input)
  return (await running).stdout
}
