import { readFileSync, writeFileSync } from 'node:fs'
import { CONTRACT_NUMBER } from '../../src/gateway/headers.ts'
import type { Expected } from './check-contract.ts'

interface Row {
  guarantee: string
  /** The title of the test that shows it. */
  test: string
  cell: (gateway: Expected) => string
  /** What shows that it is otherwise. A cell without such a test says what the gateway lacks. */
  otherwise?: string
}

const yes = () => 'yes'
/** How the title of a test writes their number. */
const STREAMS = ' $' + '{STREAMS}'
const CHECKS = { each: 'one for each request', once: 'one in five seconds', none: 'none' }
const NO_MODEL = 'no: it does not read the model'

/** The contract of every gateway in front of the engine. */
const ROWS: readonly Row[] = [
  {
    guarantee: 'Headers that only the gateway may set are removed from the client, in every spelling',
    test: 'accepts %s from the gateway only',
    cell: yes,
  },
  {
    guarantee: 'The identity headers are those of the verified token, and `Connection` cannot remove them',
    test: 'forwards its own headers even when Connection names them',
    cell: yes,
  },
  {
    guarantee: 'The engine receives neither an API key nor a token',
    test: 'serves the unmodified openai client, streaming too',
    cell: yes,
  },
  {
    guarantee: '`GET /v1/models` lists what the caller may use',
    test: 'lists the models of the caller, not those of the engine',
    cell: yes,
  },
  { guarantee: 'All other routes are closed', test: 'keeps closed %s %s', cell: yes },
  { guarantee: 'Trailers are not handed on', test: 'hands on no trailers', cell: yes },
  {
    guarantee: '`model` is in the `models` or `adapters` of the token',
    test: 'admits every model and adapter of the tenant, on every route',
    cell: ({ entitles }) => (entitles === true ? 'yes' : NO_MODEL),
  },
  {
    guarantee:
      'Bodies that could be read in two ways, fields that steer the engine, and bodies over 4 MiB are rejected',
    test: 'rejects %s',
    cell: ({ entitles }) => (entitles === true ? 'yes' : 'no: over 4 MiB only'),
    otherwise: 'answers a body that is too long 413: %s',
  },
  {
    guarantee: 'API keys are accepted',
    test: '%s: %i',
    cell: ({ credentials }) => (credentials.includes('key') ? 'yes' : 'no: tokens only'),
  },
  {
    guarantee: 'A bad credential is rejected before the body has arrived',
    test: 'answers %s without waiting for it',
    cell: ({ refusesBeforeBody }) => (refusesBeforeBody === 'every' ? 'yes' : 'no'),
  },
  {
    guarantee: 'Calls of Mintmark for requests with one API key',
    test: 'asks Mintmark as seldom as its guide says for %i requests of one credential',
    cell: ({ checks }) => (checks.key ? CHECKS[checks.key] : '–'),
  },
  {
    guarantee: 'Calls of Mintmark for requests with one token',
    test: 'asks Mintmark as seldom as its guide says for %i requests of one credential',
    cell: ({ checks }) => CHECKS[checks.token ?? 'none'],
  },
  {
    guarantee: 'Tokens work while Mintmark is stopped',
    test: 'admits tokens in every spelling without Mintmark',
    cell: ({ verifiesTokens }) => (verifiesTokens ? 'yes' : 'no: 503'),
    otherwise: 'lets through no tokens',
  },
  {
    guarantee: 'The scheme `Bearer` may be in any case, with more than one space after it',
    test: 'takes the scheme as %j',
    cell: yes,
  },
  {
    guarantee: 'The same credential in `Authorization` and `x-api-key` is one credential',
    test: 'takes the same credential in a second header, and no other one',
    cell: yes,
  },
  {
    guarantee: '`charset=utf8` and a semicolon at the end of `Content-Type` are accepted',
    test: 'takes a body of %s',
    cell: yes,
  },
  {
    guarantee: "The client's `X-Request-Id` does not reach the engine",
    test: "does not hand on the client's X-Request-Id",
    cell: yes,
  },
  {
    guarantee: 'Preflights (CORS) of the listed origins are answered, and their pages can read errors too',
    test: 'lets a page of a listed origin read each answer, and of no other',
    cell: yes,
  },
  {
    guarantee: 'The engine stopped: `engine_unavailable`, with `Retry-After`',
    test: 'says of an engine that is down what it is',
    cell: yes,
  },
  {
    guarantee: 'Mintmark stopped and needed: 503 `unavailable`, with `Retry-After`',
    test: 'says of a token service that is down what it is',
    cell: yes,
  },
  {
    guarantee: 'When a client leaves, its request to the engine ends: not streamed',
    test: 'ends the work of the engine when the client has gone',
    cell: yes,
  },
  {
    guarantee: 'The same, streamed',
    test: 'ends the work of the engine when the client of a stream has gone',
    cell: yes,
  },
  {
    guarantee: 'Hundreds of running streams do not hold up a premium request',
    test: `brings a premium request to the engine at once while${STREAMS} others run`,
    cell: yes,
  },
]

/** Titles of the tests that the tables name. */
export const NAMED_TESTS: readonly string[] = ROWS.flatMap(({ test, otherwise }) => [
  test,
  ...(otherwise ? [otherwise] : []),
])

const HEADING = `## The contract (number ${CONTRACT_NUMBER})`

/** The table of a guide. */
function tableOf(gateway: Expected): string {
  const rows = ROWS.map(({ guarantee, test, otherwise, cell }) => {
    const here = cell(gateway)
    const shownBy = here.startsWith('no:') ? (otherwise ?? '–') : here === '–' ? here : test
    return `| ${guarantee} | ${here} | ${shownBy.replace(STREAMS, '')} |`
  })
  return ['| guarantee | here | test |', '|---|---|---|', ...rows].join('\n')
}

/**
 * The table in the guide, and as it should be. With `MINTMARK_WRITE_TABLES=1` it is written first:
 * `MINTMARK_WRITE_TABLES=1 npm test -- test/gateway-configs -t "in its guide"`.
 */
export function tableInGuide(gateway: Expected, guide: string): { found: string | undefined; made: string } {
  const file = new URL(`../../${guide}`, import.meta.url)
  const made = tableOf(gateway)
  const pattern = new RegExp(
    `(^${HEADING.replace(/[()]/g, '\\$&')}\\n\\n[^|]*)(\\|[^]*?)(?=\\n\\n|\\n$)`,
    'm',
  )
  if (process.env.MINTMARK_WRITE_TABLES === '1')
    writeFileSync(
      file,
      readFileSync(file, 'utf8').replace(pattern, (_, heading: string) => heading + made),
    )
  return { found: pattern.exec(readFileSync(file, 'utf8'))?.[2], made }
}
