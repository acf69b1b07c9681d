import { describe, expect, it } from 'vitest'
import { FailureLimit, networkOf } from '../../src/system/failure-limit.ts'

describe('a source', () => {
  it.each([
    ['192.0.2.1', '192.0.2.1'],
    ['::ffff:192.0.2.1', '192.0.2.1'],
    ['::FFFF:192.0.2.1', '192.0.2.1'],
    ['2001:db8:1:2345:6:7:8:9', '2001:db8:1:2300::/56'],
    ['2001:db8:1:23ff::', '2001:db8:1:2300::/56'],
    ['2001:db8::1', '2001:db8:0:0::/56'],
    ['::1', '0:0:0:0::/56'],
    ['fe80::1%eth0', 'fe80:0:0:0::/56'],
  ])('%s counts as %s', (address, network) => {
    expect(networkOf(address)).toBe(network)
  })
})

describe('the limit', () => {
  const grants = async (limit: FailureLimit, source: string, times: number) => {
    const allowances = await Promise.all(Array.from({ length: times }, () => limit.take(source)))
    return allowances.filter(({ granted }) => granted).length
  }

  it('holds for attempts that are made at once', async () => {
    expect(await grants(new FailureLimit({ perMinute: 5 }), '192.0.2.1', 100)).toBe(5)
  })

  it('counts each source by itself', async () => {
    const limit = new FailureLimit({ perMinute: 5 })
    expect(await grants(limit, '192.0.2.1', 10)).toBe(5)
    expect(await grants(limit, '192.0.2.2', 10)).toBe(5)
  })

  it('says when there will be room again', async () => {
    const limit = new FailureLimit({ perMinute: 1 })
    await limit.take('192.0.2.1')
    const refusal = await limit.take('192.0.2.1')
    expect(refusal).toMatchObject({ granted: false })
    expect('retryAfterSeconds' in refusal && refusal.retryAfterSeconds).toBeGreaterThan(58)
  })

  it('takes nothing for an attempt that did not fail', async () => {
    const limit = new FailureLimit({ perMinute: 1 })
    for (let attempt = 0; attempt < 10; attempt++) {
      const allowance = await limit.take('192.0.2.1')
      if (!allowance.granted) throw new Error(`refused at attempt ${attempt}`)
      allowance.giveBack()
    }
  })
})
