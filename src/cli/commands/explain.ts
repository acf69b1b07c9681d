import type { Command } from 'commander'
import { meaningOf } from '../../refusal-reasons.ts'
import { CliError, EXIT } from '../exit-codes.ts'
import { type Explanation, explainedText, type Refusal, refusalTable } from '../explain/explained-text.ts'
import { type LoggedRefusals, refusalsIn } from '../explain/log-refusals.ts'
import { tokenSays } from '../explain/token-fault.ts'
import { readInput } from '../input.ts'
import { decodeJwt, tokenIn } from '../jwt.ts'
import type { Output } from '../output.ts'
import { table } from '../table.ts'
import { action, resultVerb } from '../verb.ts'

interface Options {
  file?: string
  log?: string
  audience?: string
  model?: string
}

export function explainCommand(program: Command, environment: NodeJS.ProcessEnv): void {
  const command = resultVerb(program, 'explain [id]', {
    summary: 'explain why a key, a token or a request is refused',
    details:
      'Says which key, rule, right, limit or revocation decides, and the cure. <id> is the id of a request, a key (key_...) or a ' +
      'token (its jti). Without it, an API key or a token is read from --file, else from standard input, and never from the ' +
      'command line. With --log nothing is asked of the service: the refusals in a log of Mintmark or of a gateway are ' +
      'explained, of one id or all. "mintmark identity explain" does the same for tokens of identity providers, before ' +
      'their exchange. Exit code 0: it is accepted, 3: it is refused, 4: nothing is known of the id.',
    examples: [
      'mintmark explain key_7Hq2kd9XwP3mZt5B',
      'mintmark explain --file nightly.key --model llama-3-8b',
      'mintmark explain 0c9f7d5e-1f0b-4d0c-9a53-6f3f1c1f6a11',
      'kubectl logs --namespace mintmark --selector app.kubernetes.io/name=mintmark --tail=-1 | mintmark explain --log -',
    ],
    quiet: 'print only the reason',
  })
    .option('--file <path>', 'file with the API key or the token; "-" is standard input')
    .option('--log <path>', 'explain the refusals in this log; "-" is standard input')
    .option('--model <name>', 'model that the request names')
    .option('--audience <name>', 'audience of the gateway, if it is not that of the check')
  command.action(
    action<[id: string | undefined]>(environment, async (invocation, id) => {
      const { output } = invocation
      const { file, log, ...asked } = command.opts<Options & { output?: string; quiet?: boolean }>()
      if (file !== undefined && (id !== undefined || log !== undefined))
        throw new CliError(EXIT.usage, '--file has a credential: leave out the id and --log.')
      if (log !== undefined) return explainLog(output, await refusalsIn(log, id), id)
      const credential = id === undefined ? await credentialIn(file) : undefined
      const subject = credential === undefined ? subjectOf(id ?? '') : { credential }
      const { model, audience } = asked
      const explanation = await invocation.admin.post<Explanation>('/explain', {
        ...subject,
        ...(model !== undefined && { model }),
        ...(audience !== undefined && { audience }),
      })
      await output.either({
        text: explainedText(explanation, credential === undefined ? undefined : saidBy(credential)),
        json: explanation,
        id: explanation.reason ?? (explanation.accepted ? 'accepted' : 'unknown'),
      })
      finish(explanation)
    }),
  )
}

function finish({ reason, accepted, other_replicas: others }: Explanation): void {
  if (reason !== null) throw new CliError(EXIT.refused, `refused: ${reason}.`)
  if (accepted === null)
    throw new CliError(EXIT.notFound, 'no replica that answered knows this id.', [
      others?.running === others?.answered
        ? 'It was too long ago, or a gateway decided by itself: search the logs with --log.'
        : 'A replica that did not answer may have refused it: search the logs with --log.',
    ])
}

/** Undefined: it is no token. */
function saidBy(credential: string): string | undefined {
  try {
    return tokenSays(decodeJwt(credential))
  } catch {
    return undefined
  }
}

/** What the text is the id of. @throws {CliError} */
function subjectOf(id: string): object {
  if (/^key_[0-9A-Za-z]{16}$/.test(id)) return { key: id }
  if (/^[\w-]{22}$/.test(id)) return { token_id: id }
  if (/^[0-9A-Fa-f-]{16,64}$/.test(id)) return { request_id: id }
  throw new CliError(
    EXIT.usage,
    'the argument is not the id of a key (key_...), a token (jti) or a request. Pass a credential with --file or standard input.',
  )
}

async function credentialIn(file: string | undefined): Promise<string> {
  const text = await readInput(
    file,
    'nothing to explain: name an id, or pass an API key or a token with --file or standard input.',
  )
  const credential = tokenIn(text)
  if (credential === '') throw new CliError(EXIT.usage, 'the input has no API key and no token.')
  return credential
}

/** One id: its refusals. All: how many there are for each reason. */
async function explainLog(
  output: Output,
  { refusals, ofTheCheck, isJson }: LoggedRefusals,
  id: string | undefined,
): Promise<void> {
  if (ofTheCheck > 0)
    output.note(
      `${ofTheCheck} more were refused by the check of Mintmark (ext_authz_denied), whose log has the reasons: pass it to --log.`,
    )
  if (refusals.length === 0)
    throw new CliError(
      EXIT.notFound,
      id === undefined ? 'the log has no refusals.' : 'the log has no refusal of this id.',
      isJson ? [] : ['No line of it is JSON. Mintmark and the gateways of deploy/ log JSON.'],
    )
  const byReason = [...Map.groupBy(refusals, ({ reason }) => reason)].toSorted(
    ([, a], [, b]) => b.length - a.length,
  )
  const cures = byReason.map(([reason]) => `${reason}: ${meaningOf(reason)?.text}`)
  const counts = table(
    byReason.map(([reason, those]) => ({ reason, those })),
    [
      { title: 'REASON', of: ({ reason }) => reason },
      { title: 'REQUESTS', of: ({ those }) => String(those.length) },
      { title: 'STATUS', of: ({ those }) => [...new Set(those.map(each => each.status))].join(' ') },
      { title: 'KEYS', of: ({ those }) => keysOf(those) },
    ],
    Number.POSITIVE_INFINITY,
  )
  await output.either({
    text: [id === undefined ? counts : refusalTable(refusals), cures.join('\n')].join('\n\n'),
    json: id === undefined ? byReason.map(summary) : refusals,
    id: byReason.map(([reason]) => reason).join('\n'),
  })
}

const MOST_NAMED = 3

function keysOf(refusals: readonly Refusal[]): string {
  const keys = [...new Set(refusals.flatMap(({ key }) => (key === null ? [] : [key])))]
  const more = keys.length - MOST_NAMED
  return [...keys.slice(0, MOST_NAMED), ...(more > 0 ? [`and ${more} more`] : [])].join(' ') || '-'
}

const summary = ([reason, those]: [string, Refusal[]]) => ({
  reason,
  text: meaningOf(reason)?.text,
  requests: those.length,
  keys: [...new Set(those.flatMap(({ key }) => (key === null ? [] : [key])))],
  first: those.at(-1)?.at,
  last: those[0]?.at,
})
