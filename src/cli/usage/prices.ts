import { CliError, EXIT } from '../exit-codes.ts'
import { textOf } from '../text-file.ts'

/** The prices of a model for a million tokens, in a currency of the user's. */
interface Price {
  input: number
  cachedInput: number
  output: number
}

/** `*`: models that the file does not name. */
export type Prices = ReadonlyMap<string, Price>

const COLUMNS = ['model', 'input', 'cached_input', 'output']
const NUMBER = /^\d{1,9}(\.\d{1,9})?$/

const LONGEST_FILE_BYTES = 16_777_216

/** @throws {CliError} that names the line. */
export async function readPrices(file: string): Promise<Prices> {
  const text = await textOf(file, LONGEST_FILE_BYTES)
  const [header = '', ...lines] = text.split(/\r?\n/)
  if (header.trim() !== COLUMNS.join(','))
    throw new CliError(EXIT.usage, `${file} must begin with the line ${COLUMNS.join(',')}`)
  return new Map(
    lines.flatMap((line, index) => {
      if (line.trim() === '') return []
      const [model = '', ...cells] = line.split(',').map(cell => cell.trim())
      if (model === '' || cells.length !== 3 || !cells.every(cell => NUMBER.test(cell)))
        throw new CliError(EXIT.usage, `${file}, line ${index + 2}: must be a model and three numbers`)
      const [input = 0, cachedInput = 0, output = 0] = cells.map(Number)
      return [[model, { input, cachedInput, output }] as const]
    }),
  )
}

interface Tokens {
  model: string | null
  input_tokens: number
  cached_input_tokens: number
  output_tokens: number
}

/** Cached input tokens are a part of the input tokens. Undefined: the model has no price. */
export function costOf(usage: Tokens, prices: Prices): number | undefined {
  const price = prices.get(usage.model ?? '*') ?? prices.get('*')
  if (!price) return undefined
  const fresh = usage.input_tokens - usage.cached_input_tokens
  const millions = fresh * price.input + usage.cached_input_tokens * price.cachedInput
  return (millions + usage.output_tokens * price.output) / 1_000_000
}
