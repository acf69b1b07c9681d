import { printable, styled } from '../terminal-text.ts'
import type { Change } from './kinds.ts'
import type { Plan } from './plan.ts'
import type { Step } from './step.ts'

const SIGNS: Partial<Record<Step['action'], ['+' | '-', 'green' | 'red']>> = {
  create: ['+', 'green'],
  delete: ['-', 'red'],
  'write secret of': ['+', 'green'],
  'revoke secret of': ['-', 'red'],
}
/** Longer values are cut: a JWK Set, a certificate. */
const LONGEST_VALUE = 160

/** `update tier premium` */
export const titleOf = ({ action, kind, name }: Step): string => [action, kind, name].join(' ').trim()

/** A plan for people: a line for each step, its changes below. */
export function planText({ set, steps, left, secretsLeft, uncreated, unchanged }: Plan): string {
  const kept = left.map(
    ({ kind, name, created_by_set }) =>
      `  ${kind} ${name} is in the set and not in the files: it stays${created_by_set ? '; --prune deletes it' : '; --prune releases it'}`,
  )
  return [
    `Set ${set}`,
    ...steps.flatMap(linesOf),
    ...kept.map(printable),
    ...(secretsLeft > 0
      ? [
          `  ${secretsLeft === 1 ? 'write_secret of 1 object is' : `write_secret of ${secretsLeft} objects is`} not looked at: it needs --write-secret.`,
        ]
      : []),
    ...uncreated.map(name =>
      printable(
        `  usage-reporter ${name} is not created: its secret needs a place (write_secret, and --write-secret).`,
      ),
    ),
    summary(steps, unchanged, left.length),
  ].join('\n')
}

function linesOf(step: Step): string[] {
  const [sign, colour] = SIGNS[step.action] ?? ['~', 'yellow']
  return [
    `${styled(colour, sign)} ${printable(titleOf(step))}`,
    ...step.changes.map(change => `    ${printable(changeText(change))}`),
    ...step.notes.map(note => `    ${printable(note)}`),
    ...(step.lasting === undefined
      ? []
      : [`    ${styled('red', 'cannot be undone')}: ${printable(step.lasting)}`]),
  ]
}

function changeText({ field, from, to }: Change): string {
  if (from === undefined) return `${field}: ${valueText(to)}`
  if (to === undefined) return `${field}: ${valueText(from)}`
  return `${field}: ${valueText(from)} -> ${valueText(to)}`
}

function valueText(value: unknown): string {
  const text =
    typeof value === 'string' && /^[\w.:/@-]+$/.test(value) ? value : JSON.stringify(withoutNulls(value))
  return text.length > LONGEST_VALUE ? `${text.slice(0, LONGEST_VALUE)}…` : text
}

/** Limits and rules without what they do not set. */
function withoutNulls(value: unknown): unknown {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return value
  return Object.fromEntries(
    Object.entries(value).filter(([, member]) => member !== null && member !== undefined),
  )
}

function summary(steps: readonly Step[], unchanged: number, left: number): string {
  if (steps.length === 0)
    return `Nothing to change: ${unchanged} objects are as declared${left > 0 ? `, ${left} are not declared any more` : ''}.`
  const count = (...actions: Step['action'][]) =>
    steps.filter(({ action }) => actions.includes(action)).length
  const parts = [
    [count('create'), 'to create'],
    [count('update', 'rename', 'adopt', 'release'), 'to change'],
    [count('delete'), 'to delete'],
    [count('write secret of', 'rotate secret of', 'confirm secret of', 'revoke secret of'), 'for secrets'],
  ] as const
  const shown = parts.filter(([number]) => number > 0).map(([number, what]) => `${number} ${what}`)
  return `${shown.join(', ')}; ${unchanged} unchanged.`
}

/** The same for programs. */
export const planJson = ({ set, steps, left, uncreated, unchanged }: Plan) => ({
  set,
  steps: steps.map(({ action, kind, name, changes, notes, lasting }) => ({
    action,
    kind,
    name,
    changes: changes.map(({ field, from, to }) => ({ field, from: from ?? null, to: to ?? null })),
    notes,
    cannot_be_undone: lasting ?? null,
  })),
  left: left.map(({ kind, name }) => ({ kind, name })),
  not_created: uncreated.map(name => ({ kind: 'usage-reporter', name })),
  unchanged,
})
