import { readFile } from 'node:fs/promises'
import { parseAllDocuments } from 'yaml'
import { fileFault } from '../../system/file-fault.ts'
import { oneByOne } from '../../system/one-by-one.ts'
import { CliError, EXIT } from '../exit-codes.ts'

export type Json = Record<string, unknown>

/** A RequestAuthentication of a file, of which the rules of the issuer get the JWKS inline. */
export interface Target {
  apiVersion: string
  namespace: string
  name: string
  /** As in the file. */
  spec: Json & { jwtRules: Json[] }
}

export const targetName = ({ namespace, name }: Pick<Target, 'namespace' | 'name'>) =>
  `RequestAuthentication ${namespace}/${name}`

/**
 * The RequestAuthentications of these files that have a rule of the issuer, and the `jwksUri` of these rules. Other
 * objects in the files are left alone.
 * @throws {CliError} that names the file and what to change.
 */
export async function readTargets(
  files: readonly string[],
  issuer: string,
): Promise<{ targets: Target[]; jwksUrl: URL }> {
  const objects = (await oneByOne(files, objectsOf)).flat()
  const targets = objects
    .filter(({ kind }) => kind === 'RequestAuthentication')
    .filter(({ spec }) => rulesOf(spec).some(rule => rule.issuer === issuer))
    .map(toTarget)
  if (targets.length === 0)
    throw usage(`no RequestAuthentication in ${files.join(', ')} has a rule with the issuer ${issuer}.`)
  const urls = new Set(
    targets.flatMap(({ spec }) => ownRules(spec, issuer).map(rule => rule.jwksUri ?? rule.jwks_uri)),
  )
  const [url] = urls
  if (urls.size > 1 || typeof url !== 'string' || !/^https?:$/.test(URL.parse(url)?.protocol ?? ''))
    throw usage(`each rule with the issuer ${issuer} needs the same jwksUri: the JWKS is fetched from there.`)
  return { targets, jwksUrl: new URL(url) }
}

/** The spec with the JWKS inline in the rules of the issuer, in place of `jwksUri`. */
export function withJwks({ spec }: Target, issuer: string, jwks: string): Json {
  const jwtRules = spec.jwtRules.map(rule => {
    if (rule.issuer !== issuer) return rule
    const { jwksUri: _, jwks_uri: __, ...others } = rule
    return { ...others, jwks }
  })
  return { ...spec, jwtRules }
}

const rulesOf = (spec: unknown): Json[] => {
  const { jwtRules } = (spec ?? {}) as Json
  return Array.isArray(jwtRules) ? (jwtRules as Json[]) : []
}
const ownRules = (spec: Json, issuer: string) => rulesOf(spec).filter(rule => rule.issuer === issuer)

function toTarget(object: Json): Target {
  const { file, apiVersion, metadata, spec } = object
  const { name, namespace } = (metadata ?? {}) as Json
  const fault = nameFault(object)
  if (fault) throw usage(`${file}: ${fault}`)
  return {
    apiVersion: String(apiVersion),
    name: String(name),
    namespace: String(namespace),
    spec: spec as Target['spec'],
  }
}

/** Undefined for an object of Istio's security API with a name and a namespace. */
export function nameFault({ kind, apiVersion, metadata }: Json): string | undefined {
  const { name, namespace } = (metadata ?? {}) as Json
  const part = /^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$/
  if (!/^security\.istio\.io\/v1(beta1)?$/.test(String(apiVersion)))
    return `${String(kind)} needs the apiVersion security.istio.io/v1.`
  if (typeof name !== 'string' || typeof namespace !== 'string' || !part.test(name) || !part.test(namespace))
    return `the ${String(kind)} needs a metadata.name and a metadata.namespace.`
  return undefined
}

/** The objects of a file of YAML documents, each with the name of the file. @throws {CliError} */
export async function objectsOf(file: string): Promise<Json[]> {
  const text = await readFile(file, 'utf8').catch(error => {
    throw usage(`${file} cannot be read: ${fileFault(error) ?? (error as Error).message}.`)
  })
  return parseAllDocuments(text).flatMap(document => {
    const [fault] = document.errors
    if (fault) throw usage(`${file} is not valid YAML: ${fault.message.split('\n')[0]}`)
    const object = document.toJS() as Json | null
    return object && typeof object === 'object' ? [{ ...object, file }] : []
  })
}

const usage = (message: string) => new CliError(EXIT.usage, message)
