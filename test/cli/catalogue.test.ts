import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { startTestService, type TestService } from '../support/test-service.ts'
import { cliOf } from './mintmark.ts'

let service: TestService
let cli: ReturnType<typeof cliOf>

beforeAll(async () => {
  service = await startTestService()
  cli = cliOf(service)
  await service.admin('PUT', '/models/llama-3-8b', {})
})
afterAll(() => service.stop())

describe.each([
  [
    'tier',
    'interactive',
    ['--priority', '-5', '--description', 'people', '--requests-per-minute', '600', '--tokens-per-day', '9'],
    {
      priority: -5,
      description: 'people',
      limits: {
        requests_per_minute: 600,
        requests_per_day: null,
        tokens_per_minute: null,
        tokens_per_day: 9,
      },
    },
  ],
  [
    'model',
    '/models/Llama-3.1-8B',
    ['--max-model-len', '8192', '--description', 'chat'],
    { max_model_len: 8192, description: 'chat' },
  ],
  [
    'adapter',
    'org/sql@2',
    ['--base-model', 'llama-3-8b'],
    { base_model: 'llama-3-8b', max_model_len: null, description: '' },
  ],
])('mintmark %s', (noun, name, options, fields) => {
  const inApi = () => service.admin('GET', `/${noun}s/${encodeURIComponent(name)}`)

  it('set creates it, and set again replaces it', async () => {
    const { code, stdout, stderr } = await cli.attempt([noun, 'set', '--verbose', name, ...options])
    expect({ code, stderr }).toEqual({ code: 0, stderr: `Set the ${noun} ${name}.\n` })
    expect(stdout).toContain(name)
    expect((await inApi()).body).toMatchObject({ name, ...fields })
    expect(await cli.json(noun, 'set', name, ...options)).toEqual((await inApi()).body)
  })

  it('get prints it, also when the name has a slash', async () => {
    expect(await cli.run(noun, 'get', name)).toMatch(new RegExp(`^name +${name}$`, 'm'))
    expect(await cli.json(noun, 'get', name)).toEqual((await inApi()).body)
  })

  it('list includes it', async () => {
    expect(await cli.run(noun, 'list')).toMatch(new RegExp(`^${name} `, 'm'))
    expect((await cli.run(noun, 'list', '-q')).split('\n')).toContain(name)
    expect(await cli.json(noun, 'list')).toContainEqual((await inApi()).body)
  })

  it('delete deletes it, and then it does not exist', async () => {
    expect(await cli.attempt([noun, 'delete', name])).toEqual({
      code: 0,
      stdout: '',
      stderr: `Deleted the ${noun} ${name}.\n`,
    })
    expect((await inApi()).status).toBe(404)
    expect(await cli.attempt([noun, 'delete', name])).toMatchObject({ code: 4, stdout: '' })
  })
})
