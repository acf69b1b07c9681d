import { gzipSync } from 'node:zlib'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { MODEL_HEADER, MODEL_ROUTES } from '../../src/gateway/headers.ts'
import { rawHttp } from '../support/raw-http.ts'
import { chat, type Sent, send } from './client.ts'
import { noEnvoy } from './envoy.ts'
import { GATEWAYS, type Scene, startScene, tokenOf } from './scene.ts'

let scene: Scene
let bare: string
beforeAll(async () => {
  if (noEnvoy) return
  scene = await startScene()
  bare = await tokenOf(scene.mintmark, { id: 'bare', models: [] })
})
afterAll(() => scene?.stop())
beforeEach(() => scene?.upstream.forget())

const MINE = '"acme-sql"'
const FOREIGN = '"globex-sql"'
const multipart = '--x\r\nContent-Disposition: form-data; name="model"\r\n\r\nacme-sql\r\n--x--\r\n'
const utf16 = Buffer.from(`\ufeff{"model":${FOREIGN}}`, 'utf16le')
const padding = (bytes: number) => `"pad":"${'A'.repeat(bytes)}"`

/** Bodies as bytes, and the answer. The token allows acme-sql, acme-chat and both base models. */
const REFUSED: [what: string, sent: Sent, status: number][] = [
  ["another tenant's adapter", { body: chat('globex-sql') }, 403],
  ['an unknown model', { body: chat('gpt-4') }, 403],
  ['an adapter in another case', { body: chat('ACME-SQL') }, 403],
  ['two adapters in one name', { body: chat('acme-sql,globex-sql') }, 403],
  ['a part of an adapter', { body: chat('acme') }, 403],
  ['an empty model', { body: chat('') }, 403],
  ['a model with a NUL', { body: '{"model":"acme-sql\\u0000"}' }, 403],
  ['a model that ends in a line', { body: chat('acme-sql\r\nx-vllm-priority: -999') }, 403],
  ['an adapter written with escapes', { body: '{"model":"\\u0061cme-sql"}' }, 403],
  ['none, the word for no adapters', { body: chat('none') }, 403],
  ['no model', { body: '{"messages":[]}' }, 400],
  ['a model that is null', { body: '{"model":null}' }, 400],
  ['a model that is a number', { body: '{"model":1}' }, 400],
  ['a model that is a list', { body: `{"model":[${MINE}]}` }, 400],
  ['a model that is an object', { body: `{"model":{"model":${MINE}}}` }, 400],
  ['a model deeper down only', { body: `{"request":{"model":${MINE}}}` }, 400],
  ['model twice, the foreign one last', { body: `{"model":${MINE},"model":${FOREIGN}}` }, 400],
  ['model twice, the foreign one first', { body: `{"model":${FOREIGN},"model":${MINE}}` }, 400],
  ['model twice, one in escapes', { body: `{"model":${MINE},"\\u006dodel":${FOREIGN}}` }, 400],
  ['model only in escapes', { body: `{"\\u006dodel":${MINE}}` }, 400],
  [
    'model twice, a nested one between',
    { body: `{"model":${MINE},"a":{"model":1},"model":${FOREIGN}}` },
    400,
  ],
  [
    'a string that hides the end of an object',
    { body: `{"a":"\\\\","model":${FOREIGN},"b":"\\"","model":${MINE}}` },
    400,
  ],
  ['a quote after three backslashes', { body: `{"a":"\\\\\\",\\"model\\":\\"x","model":${FOREIGN}}` }, 403],
  ['brackets in strings', { body: `{"a":{"b":"}]"},"model":${FOREIGN}}` }, 403],
  ['two objects', { body: `{"model":${MINE}}{"model":${FOREIGN}}` }, 400],
  ['a list', { body: `[{"model":${MINE}}]` }, 400],
  ['a string', { body: MINE }, 400],
  ['nothing', { body: '' }, 415],
  ['white space', { body: ' \n' }, 400],
  ['no JSON', { body: `model=acme-sql` }, 400],
  ['an open object', { body: `{"model":${MINE}` }, 400],
  ['an open string', { body: '{"model":"acme-sql' }, 400],
  ['a comma at the end', { body: `{"model":${MINE},}` }, 400],
  ['a comment', { body: `{/*"model":${FOREIGN}*/"model":${MINE}}` }, 400],
  ['single quotes', { body: `{'model':'acme-sql'}` }, 400],
  ['a byte order mark', { body: `\ufeff{"model":${FOREIGN}}` }, 400],
  ['UTF-16, which json.loads reads', { body: utf16 }, 400],
  ['UTF-16 without a mark', { body: utf16.subarray(2) }, 400],
  ['the model after the body limit', { body: `{${padding(4_300_000)},"model":${MINE}}` }, 413],
  [
    'a foreign model after the body limit',
    { body: `{"model":${MINE},${padding(4_300_000)},"model":${FOREIGN}}` },
    413,
  ],
  ['a foreign model just before the limit', { body: `{${padding(4_100_000)},"model":${FOREIGN}}` }, 403],
  ['nesting without end', { body: `{"model":${MINE},"a":${'['.repeat(1_000_000)}` }, 400],
  ['multipart', { body: multipart, contentType: 'multipart/form-data; boundary=x' }, 415],
  ['a form', { body: 'model=acme-sql', contentType: 'application/x-www-form-urlencoded' }, 415],
  ['no media type', { body: chat('acme-sql'), contentType: null }, 415],
  [
    'JSON in UTF-16, declared',
    { body: chat('acme-sql'), contentType: 'application/json; charset=utf-16' },
    415,
  ],
  ['two media types', { body: chat('acme-sql'), headers: [['Content-Type', 'text/plain']] }, 415],
  ['another kind of JSON', { body: chat('acme-sql'), contentType: 'application/vnd.api+json' }, 415],
  ['a compressed body', { body: gzipSync(chat('acme-sql')), headers: [['Content-Encoding', 'gzip']] }, 415],
  [
    'a body that says it is compressed',
    { body: chat('acme-sql'), headers: [['Content-Encoding', 'identity']] },
    415,
  ],
  ['a compressed body that does not say so', { body: gzipSync(chat('acme-sql')) }, 400],
  [
    'a foreign model and a forged model header',
    { body: chat('globex-sql'), headers: [[MODEL_HEADER, 'acme-sql']] },
    403,
  ],
  ['no model and a forged model header', { body: '{}', headers: [[MODEL_HEADER, 'acme-sql']] }, 400],
]

describe.skipIf(noEnvoy).each(GATEWAYS)('%s', name => {
  const gateway = () => scene.gateways[name].url

  it.each([
    ['a base model', 'acme', 'llama-3-8b'],
    ['a base model with a slash', 'acme', 'mistralai/Mistral-7B'],
    ['an adapter', 'acme', 'acme-sql'],
    ['the other adapter', 'acme', 'acme-chat'],
    ['an adapter of its own', 'globex', 'globex-sql'],
    ['the one base model it was given', 'initech', 'llama-3-8b'],
  ] as const)('lets through %s', async (_, tenant, model) => {
    for (const { path } of MODEL_ROUTES) {
      scene.upstream.forget()
      expect(await send(gateway(), { token: scene.tokens[tenant], path, body: chat(model) })).toMatchObject({
        status: 200,
      })
      expect(scene.upstream.theRequest().headers[MODEL_HEADER]).toBe(model)
    }
  })

  it.each([
    ['a slash written as \\/', '{"model":"mistralai\\/Mistral-7B"}'],
    ['the model last', `{"messages":[{"model":"x"}],"n":-1.5e+3,"b":true,"model":${MINE}}`],
    ['white space everywhere', `\n\t {\r\n "model" : ${MINE} , "a" : [ ] } \n`],
    ['unknown fields', `{"model":${MINE},"ünï":"\\u0041\\ud83d\\ude00","priority_":1}`],
    ['numbers as only Python takes them', `{"model":${MINE},"a":NaN,"b":-Infinity}`],
  ])('lets through %s', async (_, body) => {
    expect(await send(gateway(), { token: scene.tokens.acme, body })).toMatchObject({ status: 200 })
    expect(scene.upstream.theRequest().body).toBe(body)
  })

  it('lets through an offer of HTTP/2, as Java clients make it', async () => {
    const headers: [string, string][] = [
      ['Connection', 'Upgrade, HTTP2-Settings'],
      ['Upgrade', 'h2c'],
      ['HTTP2-Settings', 'AAMAAABkAAQAAP__'],
    ]
    expect(await send(gateway(), { token: scene.tokens.acme, headers })).toMatchObject({ status: 200 })
  })

  it('lets through a charset of UTF-8', async () => {
    const contentType = 'Application/JSON; Charset="UTF-8"'
    expect(await send(gateway(), { token: scene.tokens.acme, contentType })).toMatchObject({ status: 200 })
  })

  it.each(REFUSED)('refuses %s', async (_, sent, status) => {
    const answer = await send(gateway(), { token: scene.tokens.acme, ...sent })
    expect(answer.status).toBe(status)
    expect(scene.upstream.requests).toHaveLength(0)
  })

  it('refuses a base model that the tenant does not have, and every model to a tenant that has none', async () => {
    const mistral = chat('mistralai/Mistral-7B')
    expect(await send(gateway(), { token: scene.tokens.initech, body: mistral })).toMatchObject({
      status: 403,
    })
    for (const model of ['llama-3-8b', 'acme-sql', 'none']) {
      expect(await send(gateway(), { token: bare, body: chat(model) })).toMatchObject({ status: 403 })
    }
    expect(await send(gateway(), { token: bare, method: 'GET', path: '/v1/models' })).toMatchObject({
      status: 200,
    })
    expect(scene.upstream.requests).toHaveLength(1)
  })

  it.each(['x-llm-d-model-name-rewrite', 'x-gateway-model-name-rewrite', 'X_Gateway_Model_Name_Rewrite'])(
    'removes %s, which would change the model after the check',
    async header => {
      await send(gateway(), { token: scene.tokens.acme, headers: [[header, 'globex-sql']] })
      expect(JSON.stringify(scene.upstream.theRequest())).not.toContain('globex-sql')
    },
  )

  it('finds the model in a body that comes in small chunks', async () => {
    const body = chat('globex-sql')
    const chunks = Array.from(body, letter => `1\r\n${letter}\r\n`).join('')
    const head = [
      'POST /v1/chat/completions HTTP/1.1',
      'Host: inference.example.com',
      `Authorization: Bearer ${scene.tokens.acme}`,
      'Content-Type: application/json',
      'Transfer-Encoding: chunked',
    ]
    const { status } = await rawHttp(gateway(), `${head.join('\r\n')}\r\n\r\n${chunks}0\r\n\r\n`)
    expect(status).toBe(403)
    expect(scene.upstream.requests).toHaveLength(0)
  })
})
