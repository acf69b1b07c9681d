import { readFileSync } from 'node:fs'
import { Ajv2020 } from 'ajv/dist/2020.js'
import addFormats from 'ajv-formats'

/** An OpenAPI document of docs/, read as programs read it. */

type Node = Record<string, unknown>

export interface HttpAnswer {
  status: number
  headers: Readonly<Record<string, string | string[] | undefined>>
  text: string
}

interface Described {
  $ref?: string
  headers?: Record<string, { $ref: string }>
  content?: Record<string, unknown>
}

export class OpenApiDocument {
  readonly text: string
  // biome-ignore lint/suspicious/noExplicitAny: tests look into documents of every shape
  readonly content: any
  readonly #name: string
  readonly #ajv = new Ajv2020({ strict: false, allErrors: true })

  constructor(name: string) {
    this.text = readFileSync(new URL(`../../docs/${name}`, import.meta.url), 'utf8')
    this.content = JSON.parse(this.text)
    addFormats.default(this.#ajv)
    this.#ajv.addSchema(this.content, name)
    this.#name = name
  }

  /** What is wrong with a value by the schema at this place; undefined: nothing. */
  faultOf(value: unknown, place: readonly string[]): string | undefined {
    const pointer = place.map(part => `/${part.replaceAll('~', '~0').replaceAll('/', '~1')}`).join('')
    const validate = this.#ajv.compile({ $ref: `${this.#name}#${encodeURI(pointer)}` })
    return validate(value) ? undefined : this.#ajv.errorsText(validate.errors)
  }

  /** Where an answer differs from what the document says of the operation. Empty: nowhere. */
  faultsOf(method: string, path: string, answer: HttpAnswer): string[] {
    const place = ['paths', path, method, 'responses', `${answer.status}`]
    const found = this.#at(place) as Described | undefined
    if (!found) return [`the status ${answer.status} is not documented`]
    const name = found.$ref?.slice(found.$ref.lastIndexOf('/') + 1)
    const own = name === undefined ? place : ['components', 'responses', name]
    const response = this.#at(own) as Described
    return [
      ...Object.entries(response.headers ?? {}).flatMap(([header, { $ref }]) =>
        this.#headerFault(header, $ref, answer),
      ),
      ...this.#bodyFaults(response, own, answer),
    ]
  }

  #headerFault(header: string, ref: string, { headers }: HttpAnswer): string[] {
    const place = ref.slice(2).split('/')
    const described = this.#at(place) as { required?: boolean; schema: { type?: string } }
    const value = headers[header.toLowerCase()]
    if (value === undefined) return described.required ? [`the header ${header} is missing`] : []
    const fault = this.faultOf(described.schema.type === 'integer' ? Number(value) : value, [
      ...place,
      'schema',
    ])
    return fault === undefined ? [] : [`the header ${header}: ${fault}`]
  }

  #bodyFaults({ content }: Described, place: readonly string[], { headers, text }: HttpAnswer): string[] {
    const [type] = Object.keys(content ?? {})
    if (type === undefined) return text === '' ? [] : ['it has a body']
    const sent = String(headers['content-type']).split(';')[0]
    if (sent !== type) return [`the type is ${sent}`]
    const value: unknown = /[/+]json$/.test(type) ? JSON.parse(text) : text
    return [this.faultOf(value, [...place, 'content', type, 'schema']) ?? []].flat()
  }

  #at(place: readonly string[]): unknown {
    return place.reduce<unknown>((node, part) => (node as Node | undefined)?.[part], this.content)
  }

  /** Places of properties, schemas, parameters, headers, responses and operations without a description. */
  undescribed(): string[] {
    return this.#undescribedIn(this.content, [])
  }

  #undescribedIn(node: unknown, place: readonly string[]): string[] {
    if (typeof node !== 'object' || node === null) return []
    return Object.entries(node).flatMap(([name, child]) => {
      if (name === 'example' || name === 'examples') return []
      const here = [...place, name]
      const lacking = isDescribable(here) && !this.#isDescribed(child as Node) ? [here.join(' ')] : []
      return [...lacking, ...this.#undescribedIn(child, here)]
    })
  }

  #isDescribed(node: Node): boolean {
    if (typeof node.$ref === 'string')
      return this.#isDescribed(this.#at(node.$ref.slice(2).split('/')) as Node)
    return typeof node.description === 'string' && node.description.length > 3
  }
}

const DESCRIBABLE = ['properties', 'parameters', 'responses', 'headers', 'schemas', 'securitySchemes']
const METHODS = ['get', 'put', 'post', 'delete', 'patch']

/** A member of a list of things that a reader looks up. A property may itself be called `parameters`. */
function isDescribable(place: readonly string[]): boolean {
  const [list = '', owner = ''] = [place.at(-2), place.at(-3)]
  if (owner === 'properties') return false
  return (
    DESCRIBABLE.includes(list) ||
    (place[0] === 'paths' && place.length === 3 && METHODS.includes(place[2] ?? ''))
  )
}
