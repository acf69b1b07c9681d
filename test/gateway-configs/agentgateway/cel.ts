import {
  type CelInput,
  CelScalar,
  type CelValue,
  celEnv,
  celFunc,
  celMethod,
  isCelError,
  isCelList,
  isCelMap,
  mapType,
  parse,
  plan,
} from '@bufbuild/cel'
import { strings } from '@bufbuild/cel/ext'

/**
 * CEL as agentgateway has it, by an evaluator that is not agentgateway's: @bufbuild/cel, with the functions of
 * agentgateway's schema/cel-functions.md that the files use and CEL itself does not have. Integers of JSON are integers here too.
 */
type Json = null | boolean | number | string | Json[] | { [name: string]: Json }

const ANY_MAP = mapType(CelScalar.DYN, CelScalar.DYN)

const AGENTGATEWAY = [
  celFunc('json', [CelScalar.DYN], CelScalar.DYN, body => {
    if (!(body instanceof Uint8Array)) throw new Error('no body')
    return inputOf(JSON.parse(new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(body)))
  }),
  celFunc('toJson', [CelScalar.DYN], CelScalar.STRING, value => JSON.stringify(jsonOf(value))),
  celMethod('merge', ANY_MAP, [ANY_MAP], ANY_MAP, function merge(this: CelValue, other: CelValue) {
    if (!isCelMap(this) || !isCelMap(other)) throw new Error('merge is of two maps')
    return new Map([...this.entries(), ...other.entries()]) as never
  }),
]

export interface Context {
  method?: string
  path?: string
  headers?: Record<string, string>
  body?: Uint8Array
  /** Undefined: no verified token. */
  claims?: object
}

export type Evaluated = { value: Json } | { error: string }

const environment = celEnv({ funcs: [...strings, ...AGENTGATEWAY] })

/** @throws {Error} for an expression that is not CEL */
export function evaluate(expression: string, { method, path, headers, body, claims }: Context): Evaluated {
  const run = plan(environment, parse(expression))
  const result = run({
    request: new Map<string, CelInput>([
      ['method', method ?? 'POST'],
      ['path', path ?? '/v1/chat/completions'],
      ['headers', new Map(Object.entries(headers ?? {}))],
      ...(body ? [['body', body] as const] : []),
    ]),
    jwt: inputOf((claims ?? {}) as Json),
  })
  return isCelError(result) ? { error: result.message } : { value: jsonOf(result) }
}

/** As agentgateway takes a rule or a condition: an expression that fails is false. */
export function holds(expression: string, context: Context): boolean {
  const result = evaluate(expression, context)
  return 'value' in result && result.value === true
}

function inputOf(value: Json): CelInput {
  if (typeof value === 'number' && Number.isInteger(value)) return BigInt(value)
  if (Array.isArray(value)) return value.map(inputOf)
  if (value === null || typeof value !== 'object') return value
  return new Map(Object.entries(value).map(([name, each]) => [name, inputOf(each)]))
}

function jsonOf(value: unknown): Json {
  if (typeof value === 'bigint') return Number(value)
  if (isCelList(value)) return [...value].map(jsonOf)
  if (isCelMap(value))
    return Object.fromEntries([...value].map(([name, each]) => [String(name), jsonOf(each)]))
  return value as Json
}
