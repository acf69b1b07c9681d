/**
 * Two kinds of findings. An **invariant** must hold on any machine, however busy: it is always enforced. A
 * **measurement** depends on the machine as much as on Mintmark: it is printed with its usual bound, and enforced with
 * `--strict` only.
 */
export type Kind = 'invariant' | 'measurement' | 'note'

/** What an invariant protects: the last column of docs/faults.md. */
export const WHY = {
  knownKeys: 'known keys are exchanged, whatever happens',
  nothingLost: 'what was acknowledged is kept',
  revoked: 'a revoked key is refused everywhere within a second',
  honest: 'what cannot be looked up is 503 with Retry-After, and never 401',
  recovers: 'it recovers by itself, without a restart',
  bounded: 'connections, sockets and memory have a limit',
  unreadable: 'a refusal says nothing about the key',
  audited: 'every change has its audit row, and the chain verifies',
  genuine: 'a row without a valid seal is not used, and is reported within 10 s',
  dated: 'dates are those of the database',
  said: 'the log says what an operator must know',
  carriedOut: 'otherwise the experiment shows nothing',
} as const
export type Why = (typeof WHY)[keyof typeof WHY]

export interface Bound {
  atMost?: number
  atLeast?: number
  exactly?: number
  /** Written after the number: `ms`, `s`, `MiB`. */
  unit?: string
}

/** One finding. */
export interface Figure {
  kind: Kind
  name: string
  value: string
  /** Empty for a note. */
  bound: string
  /** Whether the value is within its bound. */
  inside: boolean
  why?: Why
}

/** The findings of one experiment. */
export class Report {
  readonly figures: Figure[] = []

  /** A number that must be within its bound on any machine, however busy. */
  invariant(name: string, value: number, bound: Bound & { why: Why }): void {
    this.#add('invariant', name, value, bound, bound.why)
  }

  /** An invariant without a number. */
  holds(name: string, holds: boolean, why: Why): void {
    const value = holds ? 'yes' : 'no'
    this.figures.push({ kind: 'invariant', name, value, bound: 'yes', inside: holds, why })
  }

  /** A number that depends on the machine, with its usual bound. */
  measurement(name: string, value: number, usual: Bound): void {
    this.#add('measurement', name, value, usual)
  }

  /**
   * A number with a promised bound: a measurement with the promised bound, and an invariant with one so much wider that
   * no noise reaches it.
   */
  promise(name: string, value: number, bound: { usually: number; atMost: number; unit: string; why: Why }) {
    const { usually, ...wide } = bound
    this.invariant(name, value, wide)
    this.measurement(name, value, { atMost: usually, unit: bound.unit })
  }

  /** Information without a bound. */
  note(name: string, value: number | string, unit = ''): void {
    const said = typeof value === 'number' ? text(value, unit) : value
    this.figures.push({ kind: 'note', name, value: said, bound: '', inside: true })
  }

  #add(kind: Kind, name: string, value: number, bound: Bound, why?: Why): void {
    const { atMost = Number.POSITIVE_INFINITY, atLeast = Number.NEGATIVE_INFINITY, exactly = value } = bound
    // NaN, the result of a missing response, is never within its bound.
    const inside = value <= atMost && value >= atLeast && value === exactly
    const { unit } = bound
    this.figures.push({
      kind,
      name,
      value: text(value, unit),
      bound: boundText(bound),
      inside,
      ...(why && { why }),
    })
  }
}

function boundText({ atMost, atLeast, exactly, unit }: Bound): string {
  if (exactly !== undefined) return text(exactly, unit)
  const parts = [
    atLeast !== undefined && `≥ ${text(atLeast, unit)}`,
    atMost !== undefined && `≤ ${text(atMost, unit)}`,
  ]
  return parts.filter(Boolean).join(', ')
}

function text(value: number, unit = ''): string {
  const digits = Number.isInteger(value) || Math.abs(value) >= 100 ? 0 : Math.abs(value) >= 10 ? 1 : 2
  const number = value.toLocaleString('en-US', { maximumFractionDigits: digits })
  return unit ? `${number} ${unit}` : number
}

/** Whether the run fails because of it. */
export const hasFailed = ({ kind, inside }: Figure, strict: boolean): boolean =>
  !inside && (kind === 'invariant' || strict)

/** For the terminal, and for scripts/ci-summary.js, which reads the first word of each line. */
export function asLines(figures: readonly Figure[], strict = false): string {
  const widths = {
    name: widest(figures.map(({ name }) => name)),
    value: widest(figures.map(({ value }) => value)),
  }
  return figures
    .map(figure => {
      const { kind, name, value, bound, inside } = figure
      const failed = hasFailed(figure, strict)
      const mark = failed ? 'FAILED' : kind === 'note' ? '' : inside ? 'ok' : 'outside'
      const demand = kind === 'note' ? '' : `   ${kind === 'invariant' ? 'must be' : 'usually'} ${bound}`
      return `  ${mark.padEnd(7)} ${name.padEnd(widths.name)}  ${value.padStart(widths.value)}${demand}`
    })
    .join('\n')
}

/** For docs/faults.md: rows with the columns experiment, figure, measured, bound. */
export function asRows(title: string, figures: readonly Figure[]): string {
  return figures
    .map(({ kind, name, value, bound, inside }, index) => {
      const measured = inside ? value : `**${value}**`
      const demand = kind === 'measurement' ? `usually ${bound}` : bound
      return `| ${index === 0 ? title : ''} | ${cell(name)} | ${measured} | ${demand} |`
    })
    .join('\n')
}

/**
 * For docs/faults.md: every check once, with the columns check, experiments, kind, bound, why. Checks that several
 * experiments share are one row.
 */
export function checkRows(found: readonly { id: string; figures: readonly Figure[] }[]): string {
  const checks = found.flatMap(({ id, figures }) =>
    figures.filter(({ kind }) => kind !== 'note').map(figure => ({ id, ...figure })),
  )
  const rows = Map.groupBy(
    checks,
    ({ kind, name, bound, why }) =>
      `${cell(name)} | ${kind} | ${bound} | ${why ?? 'depends on the machine too'} |`,
  )
  return [...rows]
    .map(([row, those]) => `| ${[...new Set(those.map(({ id }) => id))].join(', ')} | ${row}`)
    .join('\n')
}

const cell = (text: string) => text.replaceAll('|', '\\|')
const widest = (texts: readonly string[]) => Math.max(0, ...texts.map(({ length }) => length))
