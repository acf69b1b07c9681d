import { isIP } from 'node:net'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { isWithin, networkOf, parseAddress, parseNetwork } from '../../src/system/ip-address.ts'

const groups = fc.array(fc.integer({ min: 0, max: 0xffff }), { minLength: 8, maxLength: 8 })
const written = (parts: readonly number[]) => parts.map(part => part.toString(16)).join(':')
const number = (parts: readonly number[]) => parts.reduce((all, part) => (all << 16n) | BigInt(part), 0n)
const isMapped = (parts: readonly number[]) => number(parts) >> 32n === 0xffffn

describe('an address', () => {
  it('is what Node accepts as one, except IPv4 at the end of an IPv6 address that is not mapped', () => {
    const piece = fc.constantFrom(
      ':',
      '::',
      '.',
      '%',
      'f',
      'ffff',
      '0',
      '1',
      '256',
      '00a',
      '192.0.2.1',
      '::ffff:',
    )
    const text = fc.oneof(
      fc.ipV4(),
      fc.ipV6(),
      fc.array(piece, { maxLength: 12 }).map(all => all.join('')),
    )
    fc.assert(
      fc.property(text, text => {
        if (isIP(text) === 6 && text.includes('.') && parseAddress(text) === undefined) {
          expect(text).not.toMatch(/^::ffff:[\d.]+$/i)
        } else expect(parseAddress(text) !== undefined).toBe(isIP(text) !== 0)
      }),
      { numRuns: 5_000 },
    )
  })

  it.each(['127.1', '0x7f.0.0.1', '010.0.0.1', '2130706433', '1.2.3.4:5', '[::1]', ' 1.2.3.4', '::1%', ''])(
    'is not %j',
    text => {
      expect(parseAddress(text)).toBeUndefined()
    },
  )

  it.each([
    '::ffff:192.0.2.1',
    '::FFFF:192.0.2.1',
    '::ffff:c000:201',
    '0:0:0:0:0:ffff:192.0.2.1',
    '192.0.2.1',
  ])('%s is the IPv4 address', text => {
    expect(parseAddress(text)?.toString()).toBe('192.0.2.1')
  })
})

describe('the key that failures are counted under', () => {
  it.each([
    ['192.0.2.1', '192.0.2.1'],
    ['::ffff:192.0.2.1', '192.0.2.1'],
    ['::ffff:c000:201', '192.0.2.1'],
    ['2001:db8:1:2345:6:7:8:9', '2001:db8:1:2300::/56'],
    ['2001:db8:1:23ff::', '2001:db8:1:2300::/56'],
    ['2001:db8::1', '2001:db8::/56'],
    ['::1', '::/56'],
    ['fe80::1%eth0', 'fe80::/56'],
    ['', ''],
  ])('is for %j %j', (address, network) => {
    expect(networkOf(address)).toBe(network)
  })

  it('is the same for two IPv6 addresses exactly when their first 56 bits are the same', () => {
    fc.assert(
      fc.property(groups, fc.integer({ min: 0, max: 127 }), (parts, bit) => {
        const other = parts.with(bit >> 4, (parts[bit >> 4] ?? 0) ^ (1 << (15 - (bit & 15))))
        if (isMapped(parts) || isMapped(other)) return
        expect(networkOf(written(parts)) === networkOf(written(other))).toBe(bit >= 56)
      }),
      { numRuns: 2_000 },
    )
  })
})

describe('a network', () => {
  it('contains the addresses that share its first bits', () => {
    fc.assert(
      fc.property(
        groups,
        fc.integer({ min: 1, max: 128 }),
        fc.integer({ min: 0, max: 127 }),
        (parts, prefix, bit) => {
          const other = parts.with(bit >> 4, (parts[bit >> 4] ?? 0) ^ (1 << (15 - (bit & 15))))
          const address = parseAddress(written(other))
          const network = parseNetwork(`${written(parts)}/${prefix}`)
          if (isMapped(parts) || isMapped(other) || !address || !network) return
          expect(isWithin(address, network)).toBe(bit >= prefix)
        },
      ),
      { numRuns: 2_000 },
    )
  })

  it.each([
    ['10.0.0.0/8', '10.255.0.1', true],
    ['10.1.2.3/8', '10.255.0.1', true],
    ['10.0.0.0/8', '::ffff:10.255.0.1', true],
    ['::ffff:10.0.0.0/104', '10.255.0.1', true],
    ['::ffff:10.0.0.0/104', '11.0.0.1', false],
    ['192.0.2.1', '192.0.2.1', true],
    ['192.0.2.1', '192.0.2.2', false],
    ['2001:db8::/32', '2001:db8:ffff::1', true],
    ['2001:db8::/32', '32.1.13.184', false],
    ['10.0.0.0/8', 'a00::1', false],
  ])('%s holds %s: %s', (network, address, within) => {
    const [parsed, of] = [parseAddress(address), parseNetwork(network)]
    expect(parsed && of && isWithin(parsed, of)).toBe(within)
  })

  it.each([
    '10.0.0.0/33',
    '::/129',
    '10.0.0.0/',
    '10.0.0.0/8/8',
    '10.0.0.0/-1',
    '10.0.0.0/a',
    '10.0.0.0/255.0.0.0',
  ])('is not %s', text => {
    expect(parseNetwork(text)).toBeUndefined()
  })

  it.each(['0.0.0.0/0', '::/0', '::ffff:0:0/96', '::ffff:0:0/90'])(
    'is not %s, which contains every address',
    text => {
      expect(parseNetwork(text)).toBeUndefined()
    },
  )
})
