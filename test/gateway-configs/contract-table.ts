import { readFileSync, writeFileSync } from 'node:fs'
import { CONTRACT_NUMBER } from '../../src/gateway/headers.ts'
import type { Expected } from './check-contract.ts'

interface Row {
  guarantee: string
  /** The title of the test that shows it. */
  test: string
  cell: (gateway: Expected) => string
  /** What shows that it is otherwise. A cell without such a test says what the gateway lacks. */
  otherwise?: (gateway: Expected) => string
}

const yes = () => 'yes'
/** How the title of a test writes their number. */
const STREAMS = ' $' + '{STREAMS}'
const CHECKS = { each: 'one for each request', once: 'one in five seconds', none: 'none' }
const NO_MODEL = 'no: it does not read the model'
const NO_BODY = 'no: it does not read the body'
const LOST_BODY = 'loses a body that it has looked at after forward_auth'
const NO_SALT = "no: it does not change bodies, and rejects a client's"

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
  {
    guarantee: '`GET /v1/models/{id}` is answered for what the caller may use, 404 for every other',
    test: 'answers for each model of the caller by its name, and 404 for every other',
    cell: yes,
  },
  {
    guarantee: '`GET /v1/models` with a token is answered from its claims, without Mintmark',
    test: "lists the models of a token without Mintmark, to OpenAI's and Anthropic's clients",
    cell: ({ verifiesTokens }) => (verifiesTokens ? 'yes' : 'no: it does not verify tokens'),
    otherwise: () => 'lets through no tokens',
  },
  { guarantee: 'All other routes are closed', test: 'keeps closed %s %s', cell: yes },
  { guarantee: 'Trailers are not forwarded', test: 'hands on no trailers', cell: yes },
  {
    guarantee: '`model` is in the `models` or `adapters` of the token',
    test: 'admits every model and adapter of the tenant, on every route',
    cell: ({ entitles }) => (entitles === true ? 'yes' : NO_MODEL),
    otherwise: () => LOST_BODY,
  },
  {
    guarantee: 'Bodies that could be read in two ways, and bodies over 4 MiB, are rejected',
    test: 'rejects %s',
    cell: ({ entitles }) => (entitles === true ? 'yes' : 'no: over 4 MiB only'),
    otherwise: () => 'answers a body that is too long 413: %s',
  },
  {
    guarantee: 'Fields of the body that steer the engine are rejected, with their names',
    test: 'rejects the field %s however it is written, and names it',
    cell: ({ entitles }) => (entitles ? 'yes' : NO_BODY),
    otherwise: () => LOST_BODY,
  },
  {
    guarantee: 'Media that the engine would fetch from an address is rejected, with the name of the field',
    test: 'rejects %s, and names the field',
    cell: ({ entitles }) => (entitles ? 'yes' : NO_BODY),
    otherwise: () => LOST_BODY,
  },
  {
    guarantee: "The engine's prefix cache is not shared between tenants: `cache_salt` is set from the token",
    test: 'sets the cache salt from the tenant, where the client sends %s',
    cell: ({ salts, entitles }) => (salts ? 'yes' : entitles ? NO_SALT : NO_BODY),
    otherwise: ({ entitles }) => (entitles ? "rejects a client's cache_salt, and names it: %s" : LOST_BODY),
  },
  {
    guarantee: 'API keys are accepted',
    test: 'takes it in %s, for the list of models too',
    cell: ({ credentials }) => (credentials.includes('key') ? 'yes' : 'no: tokens only'),
    otherwise: () => 'rejects an API key, and says to exchange it',
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
    otherwise: () => 'lets through no tokens',
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
    guarantee: 'What is not HTTP is answered in JSON, with a status that no SDK repeats',
    test: 'answers %s in JSON, with a status that no client repeats',
    cell: ({ explainsMalformed }) => (explainsMalformed === false ? "no: the gateway's own error" : 'yes'),
  },
  {
    guarantee: 'Preflights (CORS) of the listed origins are answered, and their pages can read errors too',
    test: 'lets a page of a listed origin read each answer, and of no other',
    cell: yes,
  },
  {
    guarantee: 'No request meets a connection that the engine is closing (uvicorn: after 5 idle seconds)',
    test: 'sends no request into a connection that the engine is closing',
    cell: ({ startImpatient }) =>
      startImpatient ? 'yes: closed after 4 seconds' : 'yes: a connection for each request',
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
    guarantee: 'A check that takes Mintmark up to five seconds is waited for',
    test: 'waits for the answer to a check that takes seconds',
    cell: ({ credentials }) => (credentials.includes('key') ? 'yes' : '–'),
  },
  {
    guarantee: 'A check whose connection to Mintmark ends is repeated',
    test: 'asks again when the connection to Mintmark ends during a check',
    cell: ({ credentials, asksAgain }) =>
      asksAgain === false ? 'no: 503 with `Retry-After`' : credentials.includes('key') ? 'yes' : '–',
    otherwise: () => 'asks again when the connection to Mintmark ends during a check',
  },
  {
    guarantee:
      'When a client leaves, its request to the engine ends within a second: streamed or not, during the prompt or the answer',
    test: 'ends the work of the engine when a client leaves: %s',
    cell: yes,
  },
  {
    guarantee: 'Hundreds of running streams do not hold up a premium request',
    test: `brings a premium request to the engine at once while${STREAMS} others run`,
    cell: yes,
  },
]

/** The rows of the table in each guide. */
export const GUARANTEES: readonly string[] = ROWS.map(({ guarantee }) => guarantee)

/** Titles of the tests that the tables name. */
export const NAMED_TESTS: readonly string[] = [
  ...new Set(ROWS.flatMap(({ test, otherwise }) => [test, ...(otherwise ? titlesOf(otherwise) : [])])),
]

function titlesOf(otherwise: NonNullable<Row['otherwise']>): string[] {
  return [true, false].map(entitles => otherwise({ entitles } as Expected))
}

const HEADING = `## The contract (number ${CONTRACT_NUMBER})`

/** The table of a guide. */
function tableOf(gateway: Expected): string {
  const rows = ROWS.map(({ guarantee, test, otherwise, cell }) => {
    const here = cell(gateway)
    const shownBy = here.startsWith('no:') ? (otherwise?.(gateway) ?? '–') : here === '–' ? here : test
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
