import { STRIPPED_NAMES, STRIPPED_PREFIXES } from '../../src/gateway/headers.ts'

/** Every name on the list, and one unlisted name of each prefix's family. */
export const NAMES = [
  ...STRIPPED_NAMES,
  ...STRIPPED_PREFIXES.flatMap(({ name }) => [`${name}of-tomorrow`, name]),
  ...[
    'x-llm-d-slo-ttft-ms',
    'x-slo-tpot-ms',
    'x-gateway-destination-endpoint',
    'x-gateway-destination-endpoint-subset',
  ],
  ...['x-data-parallel-rank', 'x-aibrix-config-profile', 'x-authz-user-id', 'x-prefiller-host-port'],
  'x-amzn-sagemaker-adapter-identifier',
]

export const MARK = 'forged'
/** -999 would be read where a number is expected. */
export const VALUE = `-999-${MARK}`

const oddCase = (name: string) =>
  name.replaceAll(/[a-z]/g, (letter, i) => (i % 2 ? letter : letter.toUpperCase()))
export const underscored = (name: string) => name.replaceAll('-', '_')
const mixed = (name: string) => name.replace('-', '_')

/** Spellings that a client could use. */
export const SPELLINGS: [how: string, (name: string) => [string, string][]][] = [
  ['alone', name => [[name, VALUE]]],
  [
    'twice',
    name => [
      [name, VALUE],
      [name, `${VALUE}-again`],
    ],
  ],
  ['empty', name => [[name, '']]],
  ['in odd case', name => [[oddCase(name), VALUE]]],
  ['with underscores', name => [[underscored(name), VALUE]]],
  [
    'with underscores in odd case, twice',
    name => [
      [oddCase(underscored(name)), VALUE],
      [underscored(name), VALUE],
    ],
  ],
  ['partly with underscores', name => [[mixed(name), VALUE]]],
]
