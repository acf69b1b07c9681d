import { once } from 'node:events'
import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { decodeJwt } from 'jose'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { until } from '../support/until.ts'
import {
  type Behind,
  type CheckEnvironment,
  type Gateway,
  startCheckEnvironment,
} from './check-environment.ts'
import { chat } from './client.ts'
import { startNginx } from './nginx.ts'
import { isAbsent, newerProgram } from './program.ts'

const BODY = chat('llama-3-8b')
/** Shorter than 30 seconds, and long enough for nothing else of a request. */
const LONGEST_SECONDS = 0.2

const FILES = [
  { file: 'nginx.conf', hasLimits: false, absent: isAbsent('nginx') },
  { file: 'nginx-limits.conf', hasLimits: true, absent: isAbsent(newerProgram('nginx')) },
]

describe.each(FILES)('deploy/nginx/$file and a body that arrives late', ({ hasLimits, absent }) => {
  describe.skipIf(absent)('after its credential was checked', () => {
    let environment: CheckEnvironment
    let hurried: Gateway
    let clock: string
    const setClock = (seconds: number) => writeFile(clock, String(seconds))
    const start = (behind: Behind, changes: [string, string][] = []) =>
      startNginx(behind, [], hasLimits ? clock : undefined, undefined, [
        ['Date.now() / 1000', `Number(require('fs').readFileSync('${clock}'))`],
        ...changes,
      ])
    beforeAll(async () => {
      const folder = await mkdtemp(join(tmpdir(), 'mintmark-clock-'))
      // As root nginx's workers run as another user.
      await chmod(folder, 0o755)
      clock = join(folder, 'clock')
      await setClock(Date.now() / 1000)
      environment = await startCheckEnvironment(start)
      const shorter = `LONGEST_REQUEST_SECONDS = ${LONGEST_SECONDS}`
      hurried = await start(environment.behind, [['LONGEST_REQUEST_SECONDS = 30', shorter]])
    })
    beforeEach(async () => {
      await setClock(Date.now() / 1000)
      environment.upstream.forget()
    })
    afterAll(async () => {
      await hurried?.stop()
      await environment?.stop()
      await rm(join(clock, '..'), { recursive: true, force: true })
    })

    /** The answer to a request whose body is sent after `meanwhile`: nginx has checked the credential when it asks for the body. */
    async function answerTo(gateway: Gateway, credential: string, meanwhile: () => Promise<unknown>) {
      const { hostname: host, port } = new URL(gateway.url)
      const socket = connect({ host, port: Number(port) })
      let text = ''
      socket.setEncoding('utf8').on('data', piece => {
        text += piece
      })
      socket.write(
        `POST /v1/chat/completions HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer ${credential}\r\nConnection: close\r\n` +
          `Content-Type: application/json\r\nContent-Length: ${BODY.length}\r\nExpect: 100-continue\r\n\r\n`,
      )
      await until('nginx asks for the body', () => text.includes('100 Continue'))
      await meanwhile()
      text = ''
      socket.write(BODY)
      await once(socket, 'close')
      return text
    }

    it('admits one that arrives in time', async () => {
      const answer = await answerTo(environment.gateway, environment.acme.token, async () => {})
      expect(answer).toMatch(/^HTTP\/1\.1 200 /)
      expect(environment.upstream.theRequest().body).toBe(BODY)
    })

    it('rejects it when the token has expired since, which uses up no limit', async () => {
      const { token } = environment.acme
      const { exp = 0 } = decodeJwt(token)
      const answer = await answerTo(environment.gateway, token, () => setClock(exp))
      expect(answer).toMatch(/^HTTP\/1\.1 401 /)
      expect(answer).toContain('invalid_token')
      expect(answer.toLowerCase()).toContain('www-authenticate: bearer')
      expect(answer).not.toContain('x-ratelimit-limit')
      expect(environment.upstream.requests).toEqual([])
      const logged = () => environment.gateway.output?.() ?? ''
      await until('the refusal is logged', () => logged().includes('"status":401,"reason":"token_invalid"'))
    })

    it.each(['token', 'secret'] as const)('rejects it after the longest time, with a %s', async kind => {
      const late = () => sleep(2_000 * LONGEST_SECONDS)
      const answer = await answerTo(hurried, environment.acme[kind], late)
      expect(answer).toMatch(/^HTTP\/1\.1 408 /)
      expect(answer).toContain('request_timeout')
      expect(answer).not.toContain('x-ratelimit-limit')
      expect(environment.upstream.requests).toEqual([])
    })
  })
})
