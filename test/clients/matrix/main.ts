import { existsSync } from 'node:fs'
import { Checks } from '../../engine/checks.ts'
import { Environment } from '../../faults/environment/environment.ts'
import { lacksPython, python } from '../python.ts'
import { ANSWER } from '../talking-engine.ts'
import { askAll, CLIENTS, type Client, type Result } from './clients.ts'
import { startCountingProxy } from './counting-proxy.ts'
import { type Found, Page } from './page.ts'
import { type Setting, SUBJECTS, startSetting } from './setting.ts'
import { type Outcome, PHASES, type Phase, type Situation, situationsOf } from './situations.ts'

/**
 * matrix/ asks every gateway of deploy/ with unmodified clients (OpenAI's and Anthropic's for Python and JavaScript, LangChain, curl), with a
 * key and with a token, while all runs, while the engine is stopped, while Mintmark hangs and while it is stopped, and shows
 * what each client raises, how often it asked, and what it prints:
 *
 *   npm run clients
 *   npm run clients -- nginx caddy   some gateways
 *   npm run clients -- --write       also writes the tables of docs/client-errors.md
 *   npm run clients -- nginx --results=FILE   keeps the results in this file, with those of earlier runs at other gateways
 *
 * With the results of all gateways, of this run or of the file, the tables of the page must be those of these results, without
 * --write. Ends with "N passed, N failed".
 */
/** No gateway waits longer for Mintmark than five seconds. More is for a busy machine. */
const BOUND_MS = 10_000
/** Of each kind of client: most of them wait between two attempts. */
const AT_ONCE = 8
/** How often a question is asked that the machine disturbs. */
const ROUNDS = 3
let asked = 0

const ANTHROPIC = {
  ...classes('ContentTooLargeError'),
  503: 'ServiceUnavailableError',
}

/** What clients raise. OpenAI's have no class for 413. */
const RAISED: Readonly<Record<Client, Readonly<Record<Outcome, string | null>>>> = {
  'openai for Python': classes('APIStatusError'),
  'openai for JavaScript': classes('APIError'),
  // They are subclasses of OpenAI's.
  LangChain: {
    answer: null,
    401: 'OpenAIAuthenticationError',
    403: 'OpenAIPermissionDeniedError',
    413: 'APIStatusError',
    429: 'OpenAIRateLimitError',
    503: 'OpenAIAPIError',
  },
  'anthropic for Python': ANTHROPIC,
  'anthropic for JavaScript': ANTHROPIC,
  curl: { answer: null, 401: 'exit 22', 403: 'exit 22', 413: 'exit 22', 429: 'exit 22', 503: 'exit 22' },
}

function classes(tooLong: string): Record<Outcome, string | null> {
  return {
    answer: null,
    401: 'AuthenticationError',
    403: 'PermissionDeniedError',
    413: tooLong,
    429: 'RateLimitError',
    503: 'InternalServerError',
  }
}

const args = process.argv.slice(2)
const write = args.includes('--write')
const RESULTS = '--results='
const results = args.find(arg => arg.startsWith(RESULTS))?.slice(RESULTS.length)
const names = args.filter(arg => arg !== '--write' && !arg.startsWith(RESULTS))
const unknown = names.filter(name => !SUBJECTS.some(subject => subject.name === name))
if (unknown.length > 0)
  throw new Error(`unknown: ${unknown.join(', ')}; known: ${SUBJECTS.map(({ name }) => name).join(', ')}`)
if (lacksPython() || !existsSync(python)) {
  console.log(`skipped: ${python} is not installed; run scripts/install-test-tools.sh\n0 passed, 0 failed`)
  process.exit(0)
}
const wanted = SUBJECTS.filter(({ name }) => names.length === 0 || names.includes(name))
const subjects = wanted.filter(({ absent }) => !absent)
for (const { name } of wanted.filter(({ absent }) => absent))
  console.log(`skipped: ${name}: its program is not installed; run scripts/install-gateways.sh`)

const checks = new Checks()
const page = new Page()
const environment = new Environment({ full: false })
for (const signal of ['SIGINT', 'SIGTERM'] as const)
  process.once(signal, () => void environment.close().then(() => process.exit(1)))
try {
  const setting = await startSetting(environment, subjects)
  for (const phase of PHASES) await checkPhase(phase, setting)
} finally {
  await environment.close()
}
page.print(subjects.map(({ name }) => name))
if (results)
  page.keepIn(
    results,
    SUBJECTS.map(({ name }) => name),
  )
if (write) page.write()
else if (page.gateways().size === SUBJECTS.length)
  await checks.equal('docs/client-errors.md has the tables of this run', true, () => page.isWritten())
checks.end()

/** All clients at all gateways. */
async function checkPhase(phase: Phase, setting: Setting): Promise<void> {
  console.log(`\n${phase}`)
  if (phase === 'the engine is stopped') await setting.engine.stop()
  if (phase === 'Mintmark hangs') setting.suspend()
  if (phase === 'Mintmark is stopped') await setting.kill()
  const cases = setting.running.flatMap(gateway =>
    situationsOf(phase, gateway, setting).flatMap(situation =>
      CLIENTS.map(client => ({ client, gateway, situation })),
    ),
  )
  const found = await ask(cases)
  for (let round = 2; round <= ROUNDS; round++) {
    const disturbed = found.filter(isDisturbed)
    if (disturbed.length === 0) break
    console.log(`  note    asked again, because the machine was too busy: ${disturbed.length}`)
    const again = await ask(disturbed)
    // In their places: the page has the order of the cases.
    for (const [i, each] of disturbed.entries()) found[found.indexOf(each)] = again[i] as Case & Found
  }
  for (const each of found) await checkFound(each)
  if (phase === 'the engine is stopped') await setting.engine.start()
}

interface Case {
  client: Client
  gateway: Setting['running'][number]
  situation: Situation
}

/** At the same time: they wait for their retries most of it. */
async function ask(cases: readonly Case[]): Promise<(Case & Found)[]> {
  const proxies = await Promise.all(cases.map(({ gateway }) => startCountingProxy(gateway.url)))
  const results = await askAll(
    cases.map(({ client, situation: { question } }, i) => ({
      ...question,
      // No two ask the engine with the same words.
      text: question.repeated === 1 ? `${question.text} ${++asked}` : question.text,
      ...{ client, url: proxies[i]?.url ?? '' },
    })),
    // A gateway cuts the connection of a long body soon after its response, which a busy client would miss.
    cases.some(({ situation }) => situation.phase === 'bodies are long') ? 1 : AT_ONCE,
  )
  const found = cases.map((each, i) => ({
    ...each,
    result: results[i] as Result,
    attempts: proxies[i]?.attempts() ?? [],
  }))
  await Promise.all(proxies.map(proxy => proxy.stop()))
  return found
}

/**
 * On a busy machine a client may be too late with its request, or to read a response before Caddy, after half of a second, closes the
 * connection on the rest of a body; Mintmark, while it runs, may need longer than the second or two that gateways wait for it; and any
 * answer may be late. A gateway that always lets clients wait is late in every round.
 */
function isDisturbed({ situation, result, attempts }: Found): boolean {
  if (attempts.some(({ status, ms }) => status === 0 || status === 408 || ms >= BOUND_MS)) return true
  if (situation.phase !== 'all run' && situation.phase !== 'bodies are long') return false
  const unexpected = situation.outcome !== 503 && attempts.some(({ status }) => status === 503)
  return unexpected || result.printed.includes('The token service is temporarily unavailable.')
}

async function checkFound(found: Case & Found): Promise<void> {
  const { client, gateway, situation, result, attempts } = found
  page.add(gateway.name, found)
  const { outcome, kind, name } = situation
  const raised =
    outcome === 'answer' && !isAnswer(client, situation, result.printed)
      ? `another answer: ${result.printed.slice(0, 200)}`
      : result.raised
  const expected = { raised: RAISED[client][outcome], statuses: situation.statuses, inTime: true }
  await checks.equal(`${gateway.name}, ${kind}, ${name}, ${client}`, expected, () => ({
    raised,
    statuses: attempts.map(({ status }) => status),
    inTime: attempts.every(({ ms }) => ms < BOUND_MS),
  }))
}

/** curl prints the events of a stream as they are. */
function isAnswer(client: Client, { question }: Situation, printed: string): boolean {
  if (client !== 'curl') return printed === ANSWER
  return question.stream ? printed.endsWith('data: [DONE]\n\n') : printed.includes(ANSWER)
}
