import { describe, expect, it } from 'vitest'
import { isPublic } from '../../src/system/public-address.ts'

describe('an address of the public internet', () => {
  it.each([
    '8.8.8.8',
    '::ffff:8.8.8.8',
    '64:ff9b::808:808',
    '2606:4700::1111',
    '2a00:1450:4001::1',
    '172.32.0.1',
    '100.128.0.1',
  ])('%s is one', text => expect(isPublic(text)).toBe(true))

  it.each([
    ['loopback', ['127.0.0.1', '127.9.9.9', '::1', '::ffff:127.0.0.1', '::ffff:7f00:1', '64:ff9b::7f00:1']],
    ['unspecified', ['0.0.0.0', '0.1.2.3', '::', '::ffff:0.0.0.0']],
    ['IPv4-compatible', ['::7f00:1', '::808:808']],
    [
      'link-local',
      ['169.254.169.254', 'fe80::1', 'fe80::1%eth0', '::ffff:169.254.169.254', '64:ff9b::a9fe:a9fe'],
    ],
    [
      'private',
      [
        '10.0.0.1',
        '172.16.0.1',
        '172.31.255.255',
        '192.168.1.1',
        'fc00::1',
        'fd12::1',
        '::ffff:10.0.0.1',
        '64:ff9b::a00:1',
      ],
    ],
    ['shared', ['100.64.0.1', '100.127.255.255']],
    ['site-local', ['fec0::1']],
    ['NAT64 of a network of its own', ['64:ff9b:1::808:808']],
    ['6to4 and Teredo', ['2002:7f00:1::', '2002:808:808::', '2001::1']],
    ['translated', ['::ffff:0:808:808']],
    [
      'reserved',
      [
        '192.0.0.1',
        '192.0.2.1',
        '198.18.0.1',
        '198.51.100.1',
        '203.0.113.1',
        '240.0.0.1',
        '2001:db8::1',
        '3fff::1',
        '100::1',
        '5f00::1',
        '4000::1',
      ],
    ],
    ['multicast and broadcast', ['224.0.0.1', 'ff02::1', '255.255.255.255']],
    [
      'no address',
      [
        'localhost',
        '127.1',
        '0x7f000001',
        '2130706433',
        '017700000001',
        '',
        '[::1]',
        '8.8.8.8.',
        '8.8.8.8:443',
      ],
    ],
  ])('is not one that is %s', (_, texts) => {
    expect(texts.filter(isPublic)).toEqual([])
  })
})
