import { existsSync } from 'node:fs'
import { Checks } from '../../engine/checks.ts'
import { Environment } from '../../faults/environment/environment.ts'
import { lacksPython, python } from '../python.ts'
import { ANSWER } from '../talking-engine.ts'
import { askAll, CLIENTS, type Client, type Result } from './clients.ts'
import { type Attempt, startCountingProxy } from './counting-proxy.ts'
import { Page } from './page.ts'
import { type Setting, SUBJECTS, startSetting } from './setting.ts'
import { type Outcome, type Phase, type Situation, situationsOf } from './situations.ts'

/**
 * matrix/ asks every gateway of deploy/ with unmodified clients (OpenAI's for Python and JavaScript, LangChain, curl), with a
 * key and with a token, while all runs, while the engine is stopped, while Mintmark hangs and while it is stopped, and shows
 * what each client raises, how often it asked, and what it prints:
 *
 *   npm run clients
 *   npm run clients -- nginx caddy   some gateways
 *   npm run clients -- --write       also writes the tables of docs/client-errors.md
 *
 * Without names and without --write the tables of the page must be those of this run. Ends with "N passed, N failed".
 */
const PHASES: readonly Phase[] = [
  'all run',
  'bodies are too long',
  'the engine is stopped',
  'Mintmark hangs',
  'Mintmark is stopped',
]
/** No gateway waits longer for Mintmark than five seconds. More is for a busy machine. */
const BOUND_MS = 10_000
/** Of each kind of client: most of them wait between two attempts. */
const AT_ONCE = 16

/** What clients raise. No SDK has a class for 413. */
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
const names = args.filter(arg => arg !== '--write')
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
if (write) page.write()
else if (subjects.length === SUBJECTS.length)
  await checks.equal('docs/client-errors.md has the tables of this run', true, () => page.isWritten())
checks.end()

/** All clients at all gateways at the same time: they wait for their retries most of it. */
async function checkPhase(phase: Phase, setting: Setting): Promise<void> {
  console.log(`\n${phase}`)
  if (phase === 'the engine is stopped') await setting.engine.stop()
  if (phase === 'Mintmark hangs') setting.suspend()
  if (phase === 'Mintmark is stopped') await setting.kill()
  const planned = []
  for (const gateway of setting.running)
    for (const situation of situationsOf(phase, gateway, setting))
      for (const client of CLIENTS)
        planned.push({
          client,
          gateway: gateway.name,
          situation,
          proxy: await startCountingProxy(gateway.url),
        })
  const results = await askAll(
    planned.map(({ client, situation: { question }, proxy }, i) => ({
      ...question,
      // No two ask the engine with the same words.
      text: question.repeated === 1 ? `${question.text} ${i}` : question.text,
      ...{ client, url: `${proxy.url}/v1` },
    })),
    // A gateway cuts the connection of a long body soon after its response, which a busy client would miss.
    phase === 'bodies are too long' ? 1 : AT_ONCE,
  )
  for (const [index, { client, gateway, situation, proxy }] of planned.entries()) {
    const result = results[index] as Result
    const attempts = proxy.attempts()
    page.add({ client, gateway, situation, result, attempts })
    await checkResult(
      `${gateway}, ${situation.kind}, ${situation.name}, ${client}`,
      situation,
      client,
      result,
      attempts,
    )
    await proxy.stop()
  }
  if (phase === 'the engine is stopped') await setting.engine.start()
}

async function checkResult(
  name: string,
  situation: Situation,
  client: Client,
  { raised, printed }: Result,
  attempts: readonly Attempt[],
): Promise<void> {
  const { outcome, orSimilar } = situation
  const like503 = (status: number) => (orSimilar && [502, 504].includes(status) ? 503 : status)
  const expected = { raised: RAISED[client][outcome], statuses: situation.statuses, inTime: true }
  await checks.equal(name, expected, () => ({
    ...(outcome === 'answer' && !isAnswer(client, situation, printed)
      ? { raised: `another answer: ${printed.slice(0, 200)}` }
      : { raised }),
    statuses: attempts.map(({ status }) => like503(status)),
    inTime: attempts.every(({ ms }) => ms < BOUND_MS),
  }))
}

/** curl prints the events of a stream as they are. */
function isAnswer(client: Client, { question }: Situation, printed: string): boolean {
  if (client !== 'curl') return printed === ANSWER
  return question.stream ? printed.endsWith('data: [DONE]\n\n') : printed.includes(ANSWER)
}
