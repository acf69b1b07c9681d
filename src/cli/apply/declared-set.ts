import type { SetKind } from '../../sets/set-object.ts'
import { CliError, EXIT } from '../exit-codes.ts'
import type { Document } from './documents.ts'

/** What the files declare: one set, its objects by kind and name, and the policy. */
export interface DeclaredSet {
  name: string
  /** The namespaces that keys of a tenant may have their Secrets in. */
  allowedNamespaces: Readonly<Record<string, readonly string[]>>
  /** The same for usage reporters, which belong to no tenant. */
  reporterNamespaces: readonly string[]
  objects: readonly DeclaredObject[]
  policy: Document | undefined
}

export interface DeclaredObject {
  kind: SetKind
  /** The name in the set: of a key `acme/ci`. */
  name: string
  document: Document
}

/** The order in which objects can be created; deletions run the other way round. */
export const ORDER: readonly SetKind[] = [
  'tier',
  'model',
  'adapter',
  'tenant',
  'identity-provider',
  'usage-reporter',
  'key',
]

/** @throws {CliError} without exactly one set, and for an object that is declared twice */
export function declaredSet(documents: readonly Document[]): DeclaredSet {
  const [set, ...others] = documents.filter(({ resource }) => resource === 'set')
  if (!set)
    throw new CliError(
      EXIT.usage,
      'the files declare no set. Add a document with "resource: set" and its name.',
    )
  refuse('the files declare more than one set: apply one set at a time.', others)
  const [policy, ...policies] = documents.filter(({ resource }) => resource === 'policy')
  refuse('the files declare the policy more than once.', policies)
  const objects = ORDER.flatMap(kind =>
    documents
      .filter(({ resource }) => resource === kind)
      .map(document => ({ kind, name: nameOf(document), document })),
  )
  const seen = new Set<string>()
  const twice = objects.filter(({ kind, name }) => seen.size === seen.add(`${kind} ${name}`.normalize()).size)
  refuse(
    'the files declare objects more than once.',
    twice.map(({ document }) => document),
  )
  return {
    name: set.fields.name,
    allowedNamespaces: set.fields.allowed_namespaces,
    reporterNamespaces: set.fields.usage_reporter_namespaces,
    objects,
    policy,
  }
}

/** The name in the set of an object that is declared like this. */
export function nameOf({ resource, fields }: Document, own: string = fields.name): string {
  if (resource === 'tenant') return fields.id
  return resource === 'key' ? `${fields.tenant}/${own}` : own
}

function refuse(message: string, documents: readonly Document[]): void {
  if (documents.length > 0)
    throw new CliError(
      EXIT.usage,
      message,
      documents.map(document => `${document.at()}: ${document.resource} ${nameOf(document)}`),
    )
}
