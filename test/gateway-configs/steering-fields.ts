import { describe, expect, it } from 'vitest'
import { MODEL_ROUTES } from '../../src/gateway/headers.ts'
import { STEERING_FIELDS } from '../../src/gateway/refused-fields.ts'
import type { Expected } from './check-contract.ts'
import type { CheckEnvironment } from './check-environment.ts'
import { type Sent, send } from './client.ts'
import { SALTS } from './entitlement-cases.ts'

const MODEL = '"model":"acme-sql"'
const VALUES = ['"x"', 'null', '7', '{"remote_host":"10.0.0.9"}', '[1]']
/** The first letter of the name as an escape. */
export const escaped = (name: string) => `\\u00${name.charCodeAt(0).toString(16)}${name.slice(1)}`

/** Ways to write a field of the top level that Python's json.loads reads. */
export const SPELLINGS: [how: string, body: (name: string) => string][] = [
  ...VALUES.map((value): [string, (name: string) => string] => [
    `as ${value}`,
    name => `{${MODEL},"${name}":${value}}`,
  ]),
  ['first', name => `{"${name}":"x",${MODEL}}`],
  ['with white space', name => `{${MODEL} ,\n\t"${name}"\r\n : "x"}`],
  ['twice', name => `{${MODEL},"${name}":"x","${name}":"y"}`],
  ['after what looks like its end', name => `{${MODEL},"a":{"b":"}]\\"}"},"c":"\\\\","${name}":"x"}`],
  ['after a nested one', name => `{${MODEL},"a":{"${name}":1},"${name}":"x"}`],
  ['after deep nesting', name => `{${MODEL},"a":${'['.repeat(40)}${']'.repeat(40)},"${name}":"x"}`],
]

/** A name of the list that concerns no engine here. */
export const ELSEWHERE: [where: string, body: (name: string) => string][] = [
  ['in an object', name => `{${MODEL},"metadata":{"${name}":"x"}}`],
  [
    'in the arguments of a tool',
    name => `{${MODEL},"tools":[{"parameters":{"properties":{"${name}":{"type":"string"}}}}]}`,
  ],
  ['in a text', name => `{${MODEL},"prompt":"{\\"${name}\\": 1}","stop":["${name}"]}`],
  ['as a part of a name', name => `{${MODEL},"my_${name}":1,"${name}_":1}`],
  ['with other escapes', () => `{${MODEL},"a":{"\\u00fc\\u003c\\n":"\\\\u0063"}}`],
]

/** Fields of the body by which a client would steer the engine, at every gateway. */
export function checkSteeringFields(
  name: string,
  expected: Expected,
  environment: () => CheckEnvironment,
): void {
  const [kind] = expected.credentials
  const status = expected.entitles === 'by asking' ? 403 : 400
  const show = (sent: Sent) => {
    const { secret, token } = environment().acme
    return send(environment().gateway.url, { token: kind === 'key' ? secret : token, ...sent })
  }
  async function expectRefused(sent: Sent, how: string, message: RegExp): Promise<void> {
    const answer = await show(sent)
    expect(answer.status, how).toBe(status)
    expect(JSON.parse(answer.text).error.message, how).toMatch(message)
    expect(environment().upstream.requests, how).toHaveLength(0)
  }

  describe.skipIf(expected.absent || !expected.entitles)(`${name} and fields that steer the engine`, () => {
    it.each(STEERING_FIELDS)('rejects the field %s however it is written, and names it', async field => {
      for (const [how, body] of SPELLINGS) {
        await expectRefused({ body: body(field) }, how, new RegExp(`\`${field}\``))
      }
      await expectRefused({ body: `{${MODEL},"${escaped(field)}":"x"}` }, 'escapes', /escape/)
    })

    it.each(ELSEWHERE)('takes names of the list %s', async (_, body) => {
      for (const field of [...STEERING_FIELDS, 'cache_salt', 'priority'])
        expect((await show({ body: body(field) })).status, field).toBe(200)
    })

    it('rejects `priority` in the body on routes where no header overrides it', async () => {
      for (const { path, priorityFromHeader } of MODEL_ROUTES) {
        const sent = { path, body: `{${MODEL},"priority":-9}` }
        if (priorityFromHeader) expect((await show(sent)).status).toBe(200)
        else {
          environment().upstream.forget()
          await expectRefused(sent, path, /`priority`/)
        }
      }
    })

    it.runIf(!expected.salts).each(SALTS.filter(([written]) => written !== undefined))(
      "rejects a client's cache_salt, and names it: %s",
      async written => {
        const body = `{${MODEL},"messages":[],"cache_salt": ${written} }`
        await expectRefused({ body }, 'plain', /`cache_salt`/)
        const hidden = `{${MODEL},"${escaped('cache_salt')}": ${written} }`
        await expectRefused({ body: hidden }, 'escapes', /escape/)
      },
    )
  })
}
