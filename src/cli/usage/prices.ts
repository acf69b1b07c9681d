import { CliError, EXIT } from '../exit-codes.ts'
import { textOf } from '../text-file.ts'

/** The prices of a model for a million tokens, in billionths of a currency of the user's. */
interface Price {
  input: bigint
  cachedInput: bigint
  output: bigint
}

/** `*`: models that the file does not name. */
export type Prices = ReadonlyMap<string, Price>

const COLUMNS = ['model', 'input', 'cached_input', 'output']
const HEADER = COLUMNS.join(',')
const NUMBER = /^(\d{1,9})(?:\.(\d{1,9}))?$/

const LONGEST_FILE_BYTES = 16_777_216

/** Of a CSV file (RFC 4180) without line ends in its cells. @throws {CliError} that names the line. */
export async function readPrices(file: string): Promise<Prices> {
  const text = await textOf(file, LONGEST_FILE_BYTES)
  const [header = '', ...lines] = text.split(/\r?\n/)
  if (cellsOf(header)?.join(',') !== HEADER) {
    const cure = /[;\t]/.test(header) ? ', with commas between the columns' : ''
    throw new CliError(EXIT.usage, `${file} must begin with the line ${HEADER}${cure}`)
  }
  const prices = new Map<string, Price>()
  const lineOf = new Map<string, number>()
  for (const [index, line] of lines.entries()) {
    if (line.trim() === '') continue
    const number = index + 2
    const fault = (text: string) => new CliError(EXIT.usage, `${file}, line ${number}: ${text}`)
    const [model = '', ...cells] = cellsOf(line) ?? []
    if (model === '' || cells.length !== 3) throw fault('must be a model and three prices')
    for (const [place, cell] of cells.entries())
      if (!NUMBER.test(cell))
        throw fault(`${COLUMNS[place + 1]} is ${JSON.stringify(cell)}, must be a number like 2.5`)
    const before = lineOf.get(model)
    if (before !== undefined) throw fault(`${model} is in line ${before} too. Keep one of them.`)
    lineOf.set(model, number)
    const [input = 0n, cachedInput = 0n, output = 0n] = cells.map(billionths)
    prices.set(model, { input, cachedInput, output })
  }
  return prices
}

const CELL = /(?:^|,)\s*(?:"((?:[^"]|"")*)"|([^",]*?))\s*(?=,|$)/gy

/** Undefined: a quote that is not closed, or in the middle of a cell. */
function cellsOf(line: string): string[] | undefined {
  const found = [...line.matchAll(CELL)]
  const length = found.reduce((sum, [whole]) => sum + whole.length, 0)
  if (length !== line.length) return undefined
  return found.map(([, quoted, plain]) => quoted?.replaceAll('""', '"') ?? plain ?? '')
}

function billionths(cell: string): bigint {
  const [, whole = '', part = ''] = NUMBER.exec(cell) ?? []
  return BigInt(whole + part.padEnd(9, '0'))
}

interface Tokens {
  model: string | null
  input_tokens: number
  cached_input_tokens: number
  output_tokens: number
}

/** Digits behind the point of a cost: those of a price, and of a millionth. */
const DIGITS = 15

/** An exact sum of money, in 10⁻¹⁵ of the currency. */
export class Cost {
  readonly units: bigint

  constructor(units: bigint) {
    this.units = units
  }

  plus(other: Cost): Cost {
    return new Cost(this.units + other.units)
  }

  /** All its digits, without an exponent. */
  toString(): string {
    const digits = String(this.units < 0n ? -this.units : this.units).padStart(DIGITS + 1, '0')
    const part = digits.slice(-DIGITS).replace(/0+$/, '')
    return `${this.units < 0n ? '-' : ''}${digits.slice(0, -DIGITS)}${part === '' ? '' : `.${part}`}`
  }

  /** The nearest number: JSON's readers have no others. */
  toJSON(): number {
    return Number(this.toString())
  }
}

/**
 * Cached input tokens are a part of the input tokens. Undefined: the model has no price. Without tokens it needs none, so that a request
 * that was refused, which may name no model at all, leaves the sum of its tenant as it is.
 */
export function costOf(usage: Tokens, prices: Prices): Cost | undefined {
  if (usage.input_tokens === 0 && usage.cached_input_tokens === 0 && usage.output_tokens === 0)
    return new Cost(0n)
  const price = prices.get(usage.model ?? '*') ?? prices.get('*')
  if (!price) return undefined
  const fresh = BigInt(usage.input_tokens - usage.cached_input_tokens)
  const cached = BigInt(usage.cached_input_tokens) * price.cachedInput
  return new Cost(fresh * price.input + cached + BigInt(usage.output_tokens) * price.output)
}

/** Of a cost in the table. A small one is not shown as nothing. */
export function shownCost(exact: Cost): string {
  const cost = exact.toJSON()
  if (cost !== 0 && Math.abs(cost) < 0.005) return cost > 0 ? '<0.01' : '>-0.01'
  return cost.toLocaleString('en-US', { minimumFractionDigits: 2, maximumFractionDigits: 2 })
}
