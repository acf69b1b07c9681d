import { mkdtemp, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { stripVTControlCharacters } from 'node:util'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { issue } from '../admin/admins.ts'
import { startTestService, type TestService } from '../support/test-service.ts'
import { cliOf, mintmark } from './mintmark.ts'
import { atTerminal } from './terminal-streams.ts'

let service: TestService
let cli: ReturnType<typeof cliOf>
let folder: string
let reporter: string
beforeAll(async () => {
  service = await startTestService()
  cli = cliOf(service)
  folder = await mkdtemp(join(tmpdir(), 'mintmark-prices-'))
  const made = await cli.json('usage-reporter', 'create', '--name', 'envoy', '--audience', 'vllm')
  expect(made.secret).toMatch(/^mmr_/)
  reporter = made.id
  await service.database.asOwner(
    `INSERT INTO usage_totals (hour, tenant_id, key_id, model, reporter_id, labels, requests, input_tokens, cached_input_tokens, output_tokens)
     VALUES (date_trunc('hour', now(), 'UTC'), 'acme', '', 'big', $1, '{}', 3, 2000000, 1000000, 500000),
       (date_trunc('hour', now(), 'UTC'), 'acme', '', 'small', $1, '{}', 1, 1000000, 0, 0),
       (date_trunc('hour', now(), 'UTC'), 'blue', '', 'small', $1, '{}', 1500, 350000, 0, 0)`,
    [reporter],
  )
})
// Most tests read this month or today, which may have begun since.
beforeEach(async () => {
  await service.database.asOwner(
    `UPDATE usage_totals SET hour = date_trunc('hour', now(), 'UTC')
     WHERE tenant_id IN ('acme', 'blue') AND hour > now() - interval '1 day'`,
  )
})
afterAll(() => service.stop())

const prices = async (text: string) => {
  const file = join(folder, 'prices.csv')
  await writeFile(file, text)
  return file
}
const cells = (text: string) =>
  text
    .trimEnd()
    .split('\n')
    .map(line => line.split(/ {2,}/))

describe('mintmark usage', () => {
  it('shows a row for each tenant, with a bar', async () => {
    const [titles, acme, blue] = cells(await cli.run('usage'))
    expect(titles).toEqual(['TENANT', 'REQUESTS', 'REFUSED', 'INPUT', 'CACHED', 'OUTPUT', 'TOKENS'])
    expect(acme).toEqual(['acme', '4', '0', '3,000,000', '1,000,000', '500,000', '█'.repeat(20)])
    expect(blue).toEqual(['blue', '1,500', '0', '350,000', '0', '0', '██'])
  })

  it.each([
    [200, ['TENANT', 'REQUESTS', 'REFUSED', 'INPUT', 'CACHED', 'OUTPUT', 'TOKENS']],
    [70, ['TENANT', 'REQUESTS', 'INPUT', 'OUTPUT', 'TOKENS']],
    [40, ['TENANT', 'REQUESTS', 'INPUT', 'OUTPUT']],
  ])('on a terminal of %i columns keeps the bars as long as there is room', async (columns, titles) => {
    const { stdout } = await atTerminal(['usage'], { env: cli.env, columns })
    const shown = stripVTControlCharacters(stdout).trimEnd().split('\n')
    expect(shown[0]?.split(/ {2,}/)).toEqual(titles)
    expect(Math.max(...shown.map(line => line.length))).toBeLessThanOrEqual(columns)
  })

  it('--limits shows today with the limits of a day: the tenant’s own, else its tier’s', async () => {
    await service.admin('PUT', '/tiers/small', { priority: 0, limits: { tokens_per_day: 1_400_000 } })
    for (const [id, limits] of [
      ['acme', {}],
      ['blue', { requests_per_day: 2_000 }],
      ['calm', { tokens_per_day: 5 }],
      ['free', {}],
    ] as const) {
      const tier = id === 'free' ? 'standard' : 'small'
      await service.admin('POST', '/tenants', { id, tier, allowed_tiers: [tier], limits })
    }
    const rows = await cli.json('usage', '--limits')
    expect(rows).toEqual([
      { tenant: 'acme', requests: 4, requests_per_day: null, tokens: 3_500_000, tokens_per_day: 1_400_000 },
      {
        tenant: 'blue',
        requests: 1_500,
        requests_per_day: 2_000,
        tokens: 350_000,
        tokens_per_day: 1_400_000,
      },
      { tenant: 'calm', requests: 0, requests_per_day: null, tokens: 0, tokens_per_day: 5 },
    ])
    const [titles, acme, blue] = cells(await cli.run('usage', '--limits', '--tenant', 'acme,blue'))
    expect(titles).toEqual(['TENANT', 'REQUESTS', 'OF A DAY', 'TOKENS', 'OF A DAY', 'USED'])
    expect(acme).toEqual(['acme', '4', '-', '3,500,000', '1,400,000', `${'█'.repeat(20)} 250 %`])
    expect(blue).toEqual([
      ...['blue', '1,500', '2,000', '350,000', '1,400,000', `${'█'.repeat(15)}${'░'.repeat(5)} 75 %`],
    ])
    expect(await cli.attempt(['usage', '--limits', '--key', 'key_x'])).toMatchObject({ code: 2 })
  })

  it('--prices adds the cost of all models together', async () => {
    const file = await prices('model,input,cached_input,output\nbig,2,0.5,8\n*,0.1,0.1,0.4\n')
    const rows = await cli.json('usage', '--prices', file)
    expect(rows.map(({ tenant, model, cost }: Record<string, unknown>) => [tenant, model, cost])).toEqual([
      ['acme', null, 2 + 0.5 + 4 + 0.1],
      ['blue', null, 0.035],
    ])
  })

  it('--prices without a price for a model shows no sum that is too low', async () => {
    const file = await prices('model,input,cached_input,output\nbig,2,0.5,8\n')
    const { stdout, stderr } = await cli.attempt(['usage', '--group-by', 'tenant,model', '--prices', file])
    expect(cells(stdout).map(row => [row[1], row[7]])).toEqual([
      ['MODEL', 'COST'],
      ['big', '6.50'],
      ['small', '-'],
      ['small', '-'],
    ])
    expect(stderr).toContain('without a price')
  })

  const HEADER = 'model,input,cached_input,output\n'

  it.each([
    ['no header', 'big,1,1,1\n', 'must begin with'],
    ['semicolons', 'model;input;cached_input;output\nbig;1;1;1\n', 'with commas between the columns'],
    ['a column less', 'model,input,output\nbig,1,1\n', 'must begin with'],
    ['a negative price', `${HEADER}big,-1,0,0\n`, 'line 2: input is "-1"'],
    ['an exponent', `${HEADER}big,1,1e3,0\n`, 'line 2: cached_input is "1e3"'],
    ['a currency', `${HEADER}\nbig,1,1,2.50 €\n`, 'line 3: output is "2.50 €", must be a number like 2.5'],
    ['blanks in a number', `${HEADER}big,1 000,1,1\n`, 'input is "1 000"'],
    ['a decimal comma', `${HEADER}big,1,5,1,1\n`, 'line 2: must be a model and three prices'],
    ['a quote that is not closed', `${HEADER}"big,1,1,1\n`, 'line 2: must be a model and three prices'],
    ['no model', `${HEADER},1,1,1\n`, 'line 2: must be a model and three prices'],
    ['a model twice', `${HEADER}big,1,1,1\n*,1,1,1\n"big",2,2,2\n`, 'line 4: big is in line 2 too'],
  ])('rejects prices with %s', async (_, text, message) => {
    const refused = await cli.attempt(['usage', '--prices', await prices(text)])
    expect(refused).toMatchObject({ code: 2, stderr: expect.stringContaining(message) })
  })

  it('reads prices as programs for tables write them', async () => {
    const file = await prices(
      '\ufeffmodel, "input",cached_input,output \r\n"big", 2,"0.5" ,8\r\n"a ""b"", c",9,9,9\r\n\r\n"*",0.001,0,0\r\n',
    )
    const shown = cells(await cli.run('usage', '--group-by', 'tenant,model', '--prices', file))
    expect(shown.map(row => [row[1], row[7]]).slice(0, 4)).toEqual([
      ['MODEL', 'COST'],
      ['big', '6.50'],
      ['small', '<0.01'],
      ['small', '<0.01'],
    ])
  })

  it('a request that was refused, without a model, needs no price', async () => {
    await service.database.asOwner(
      `INSERT INTO usage_totals (hour, tenant_id, key_id, model, reporter_id, labels, requests, refused_requests)
       VALUES (date_trunc('hour', now(), 'UTC'), 'acme', '', '', $1, '{}', 0, 1)`,
      [reporter],
    )
    const file = await prices(`${HEADER}big,2,0.5,8\nsmall,0.1,0.1,0.4\n`)
    const [acme] = await cli.json('usage', '--tenant', 'acme', '--prices', file)
    expect(acme.cost).toBe(6.6)
    await service.database.asOwner("DELETE FROM usage_totals WHERE model = ''")
  })

  it('--csv writes all digits of a cost', async () => {
    const cost = async (price: string) => {
      const file = await prices(`${HEADER}*,${price},${price},0\n`)
      const [, acme = ''] = (await cli.run('usage', '--tenant', 'acme', '--prices', file, '--csv')).split(
        '\r\n',
      )
      return acme.split(',').at(-1)
    }
    expect(await cost('123456789.123456789')).toBe('370370367.370370367')
    expect(await cost('0.000000001')).toBe('0.000000003')
  })

  it('sums costs exactly', async () => {
    // In binary fractions these are not the sum of their parts.
    const file = await prices(`${HEADER}big,0.1,0.1,0\nsmall,0.1,0.1,0.1\n`)
    const rows = await cli.json('usage', '--prices', file)
    expect(rows.map(({ cost }: { cost: number }) => cost)).toEqual([0.3, 0.035])
    const tiny = await prices(`${HEADER}*,0.000000001,0,0\n`)
    const [acme] = await cli.json('usage', '--tenant', 'acme', '--prices', tiny)
    expect(acme.cost).toBe(2e-9)
  })

  it('--csv prints the columns that were asked for, and no label as a formula', async () => {
    const label = '=HYPERLINK("http://evil.example","x")'
    await service.database.asOwner(
      `INSERT INTO usage_totals (hour, tenant_id, key_id, model, reporter_id, labels, requests, input_tokens)
       VALUES ('2026-05-31T22:00Z', 'acme', '', 'big', $1, jsonb_build_object('team', $2::text), 1, 1000000),
         ('2026-05-31T21:00Z', 'acme', '', 'big', $1, '{"team": "Bücher, alt"}', 2, 0), ('2026-05-31T21:00Z', 'blue', '', 'big', $1, '{}', -3, 0)`,
      [reporter, label],
    )
    const file = await prices(`${HEADER}*,2.5,0,0\n`)
    const month = ['--month', '2026-06', '--time-zone', 'Europe/Berlin', '--group-by', 'label:team,month']
    expect(await cli.run('usage', ...month, '--prices', file, '--csv')).toBe(
      `${'month,label:team,requests,refused_requests,input_tokens,cached_input_tokens,output_tokens,estimated_requests,adjusted_requests,cost'}\r
2026-06,"'=HYPERLINK(""http://evil.example"",""x"")",1,0,1000000,0,0,0,0,2.5\r
`,
    )
    const may = ['--month', '2026-05', '--group-by', 'label:team', '--csv']
    expect((await cli.run('usage', ...may)).split('\r\n').slice(1)).toEqual([
      ',-3,0,0,0,0,0,0',
      `"'=HYPERLINK(""http://evil.example"",""x"")",1,0,1000000,0,0,0,0`,
      '"Bücher, alt",2,0,0,0,0,0,0',
      '',
    ])
    expect(cells(await cli.run('usage', ...may.slice(0, -1))).map(row => row.slice(0, 2))).toEqual([
      ['TEAM', 'REQUESTS'],
      ['-', '-3'],
      [label, '1'],
      ['Bücher, alt', '2'],
    ])
    expect(await cli.attempt(['usage', '--csv', '-o', 'json'])).toMatchObject({ code: 2 })
  })

  it('has months and days of the time zone, also where clocks change', async () => {
    const zone = ['--time-zone', 'Europe/Berlin']
    await service.database.asOwner(
      `INSERT INTO usage_totals (hour, tenant_id, key_id, model, reporter_id, labels, requests)
       SELECT hour, 'dst', '', 'big', $1, '{}', 1 FROM generate_series('2026-09-30T00:00Z'::timestamptz, '2026-11-02T00:00Z', interval '1 hour') AS hour`,
      [reporter],
    )
    const shown = async (...args: string[]) =>
      cells(await cli.run('usage', '--tenant', 'dst', ...zone, ...args)).slice(1)
    const whole = await shown('--month', '2026-10', '--group-by', 'month')
    expect(whole.map(row => row.slice(0, 2))).toEqual([['2026-10', String(31 * 24 + 1)]])
    const days = await shown('--month', '2026-10', '--group-by', 'day')
    expect(days).toHaveLength(31)
    expect(days.map(([start, requests]) => [start, requests]).slice(23, 26)).toEqual([
      ['2026-10-24', '24'],
      ['2026-10-25', '25'],
      ['2026-10-26', '24'],
    ])
    const hours = await shown('--from', '2026-10-25', '--to', '2026-10-26', '--group-by', 'hour')
    expect(hours.map(([start]) => start).slice(1, 5)).toEqual([
      '2026-10-25 01:00+02:00',
      '2026-10-25 02:00+02:00',
      '2026-10-25 02:00+01:00',
      '2026-10-25 03:00+01:00',
    ])
    expect(hours).toHaveLength(25)
  })

  it('shows estimates and corrections where there are any', async () => {
    await service.database.asOwner(
      `INSERT INTO usage_totals (hour, tenant_id, key_id, model, reporter_id, labels, requests, estimated_requests, adjusted_requests)
       VALUES ('2026-01-05T00:00Z', 'acme', '', 'big', $1, '{}', -4, 0, 4), ('2026-02-05T00:00Z', 'acme', '', 'big', $1, '{}', 4, 1, 0)`,
      [reporter],
    )
    const titles = async (month: string) => cells(await cli.run('usage', '--month', month))[0]?.slice(6)
    expect(await titles('2026-01')).toEqual(['ADJUSTED', 'TOKENS'])
    expect(await titles('2026-02')).toEqual(['ESTIMATED', 'TOKENS'])
  })

  it.each([
    ['an empty month', ['--month', '2024-01']],
    ['a month to come', ['--month', '2099-01']],
    ['a time to come', ['--from', '2099-01-01']],
  ])('prints nothing of %s, and ends with 0', async (_, args) => {
    expect(await cli.attempt(['usage', ...args])).toMatchObject({ code: 0, stdout: '' })
    expect(await cli.json('usage', ...args)).toEqual([])
    expect((await cli.run('usage', ...args, '--csv')).split('\r\n')).toEqual([
      'tenant,requests,refused_requests,input_tokens,cached_input_tokens,output_tokens,estimated_requests,adjusted_requests',
      '',
    ])
  })

  it.each([
    ['no month', ['--month', '2026-13'], 'It must be a month like 2026-11'],
    ['a month and a time', ['--month', '2026-11', '--from', '7d'], 'cannot be used with'],
    ['no day', ['--from', '2026-02-30'], 'It must be a time like'],
    ['no time zone', ['--time-zone', 'Mars/Olympus'], 'It must be a time zone like Europe/Berlin'],
  ])('rejects %s', async (_, args, message) => {
    expect(await cli.attempt(['usage', ...args])).toMatchObject({
      code: 2,
      stderr: expect.stringContaining(message),
    })
  })

  it('--limits is for a tenant-admin too, without the limits of the tier', async () => {
    const { secret } = await issue(service, 'tenant-admin', 'blue')
    const env = { ...cli.env, MINTMARK_ADMIN_TOKEN: secret }
    const { code, stdout, stderr } = await mintmark(['usage', '--limits'], { env })
    expect([code, cells(stdout)[1]?.slice(0, 5)]).toEqual([0, ['blue', '1,500', '2,000', '350,000', '-']])
    expect(stderr).toContain('Limits of the tier are not included')
  })

  it('names the option of a fault', async () => {
    const refused = await cli.attempt(['usage', '--group-by', 'colour'])
    expect(refused).toMatchObject({ code: 5, stderr: expect.stringContaining('must be') })
  })
})

describe('mintmark usage-reporter', () => {
  it('lists, deletes, takes back and closes', async () => {
    expect(await cli.run('usage-reporter', 'list', '-q')).toContain(reporter)
    const early = await cli.attempt([
      'usage-reporter',
      'void',
      reporter,
      '--since',
      new Date().toISOString(),
      '--reason',
      'x',
    ])
    expect(early).toMatchObject({ code: 5, stderr: expect.stringContaining('Delete it first') })
    const rotated = await cli.run('usage-reporter', 'rotate', reporter, '--overlap-seconds', '60', '-q')
    expect(rotated.trim()).toMatch(new RegExp(`^mmr_${reporter.slice('rep_'.length)}_`))
    expect(await cli.json('usage-reporter', 'get', reporter)).toMatchObject({
      older_secret_ends_at: expect.any(String),
    })
    const file = join(folder, 'reporter.secret')
    await writeFile(file, rotated)
    expect(await cli.json('usage-reporter', 'inspect', file)).toMatchObject({ id: reporter })
    await writeFile(file, 'mmr_x')
    expect(await cli.attempt(['usage-reporter', 'inspect', file])).toMatchObject({
      code: 4,
      stderr: expect.stringContaining('not a secret of a usage reporter: its form or checksum is wrong'),
    })
    await cli.run('usage-reporter', 'delete', reporter)
    const since = new Date(Date.now() - 7_200_000).toISOString()
    const taken = await cli.run('usage-reporter', 'void', reporter, '--since', since, '--reason', 'stolen')
    expect(taken).toContain('Took back 1504 requests')
    expect(await cli.run('usage-reporter', 'close-month', '2026-01')).toContain('are closed')
  })
})
