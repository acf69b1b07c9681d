import { type ZodError, z } from 'zod'
import { KEY_SETTINGS } from '../../api-keys/key-settings.ts'
import { escapePointer, type Fault } from '../../errors.ts'
import { PROVIDER_KINDS } from '../../identity-providers/provider-kind.ts'
import { LIMIT_NAMES } from '../../tenants/limits.ts'
import { TENANT_SETTINGS } from '../../tenants/tenant-settings.ts'
import { adapterPut, modelPut, tierPut } from '../bodies/catalogue-body.ts'
import { policyFields } from '../bodies/policy-fields.ts'
import { reporterCreate } from '../bodies/usage-reporter-body.ts'
import * as field from '../fields.ts'
import { federated, providerSettings, publicKey } from '../identity/identity-fields.ts'
import { sentFields } from '../setting-fields.ts'

/**
 * What the files of `mintmark apply` may declare: the requests of the API, under the same names, with `resource` in
 * addition. The command checks files with these schemas before it changes anything.
 */

const kubernetesName = z
  .string('must be text')
  .regex(/^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$/, 'must be 1 to 63 characters of a-z, 0-9 and -')
const duration = z
  .string('must be a duration like 90d, 12h or 30m')
  .regex(/^[1-9]\d{0,6}[smhd]$/, 'must be a duration like 90d, 12h or 30m')
/** Relative to the folder of --secret-folder, and never outside of it. */
const relativeFile = z
  .string('must be the path of a file')
  .max(500, 'must be at most 500 characters')
  .regex(
    /^(?!\.\.?(\/|$))[\w.@-]+(\/(?!\.\.?(\/|$))[\w.@-]+)*$/,
    'must be a path inside of --secret-folder, without ".." and without "/" at its beginning',
  )
  // The end of the file that says which key a secret is of.
  .regex(/^(?!.*\.mintmark$)/i, 'must not end with .mintmark')

/** Where a secret is written. */
const PLACE = {
  kubernetes: z
    .strictObject(
      {
        namespace: kubernetesName,
        name: z
          .string('must be text')
          .regex(/^[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?$/, 'must be the name of a Secret'),
        key: z
          .string('must be text')
          .regex(/^[-._a-zA-Z0-9]{1,253}$/, 'must be the name of a key in a Secret')
          .default('api-key'),
      },
      'must be an object with namespace and name',
    )
    .optional(),
  file: relativeFile.optional(),
}
const hasOnePlace = ({ kubernetes, file }: { kubernetes?: unknown; file?: unknown }) =>
  (kubernetes === undefined) !== (file === undefined)
const PLACE_FAULTS = {
  type: 'must be an object with kubernetes or file',
  one: 'must have either kubernetes or file',
}
const WRITE_REPORTER_SECRET = { ...PLACE, overlap: duration.default('24h') }
const WRITE_SECRET = { ...WRITE_REPORTER_SECRET, rotate_every: duration.optional() }
const CREDENTIAL = {
  federated: { ...federated.shape, provider: field.displayName },
  public_key: publicKey.shape,
}
const nameInSet = field.displayName.min(1, 'must not be empty')
const { name: _keyName, ...keySettings } = sentFields(KEY_SETTINGS)
// A secret has no place in a file of a set: `mintmark identity update` sets it.
const { name: _providerName, fetch_token: _fetchToken, ...provider } = providerSettings

const SHAPES = {
  set: {
    name: field.setName,
    allowed_namespaces: z
      .record(field.tenantId, z.array(kubernetesName, 'must be a list'), 'must be an object of lists')
      .default({}),
    usage_reporter_namespaces: z.array(kubernetesName, 'must be a list').default([]),
  },
  policy: policyFields,
  tier: { name: field.tierName, ...tierPut.shape },
  model: { name: field.modelName, ...modelPut.shape },
  adapter: { name: field.adapterName, ...adapterPut.shape },
  tenant: {
    id: field.tenantId,
    ...z.object(sentFields(TENANT_SETTINGS)).partial().shape,
    suspended: field.flag.default(false),
  },
  'identity-provider': {
    name: nameInSet,
    renamed_from: nameInSet.optional(),
    kind: z.enum(PROVIDER_KINDS, `must be one of ${PROVIDER_KINDS.join(', ')}`),
    issuer: field.text(255),
    ...provider,
  },
  'usage-reporter': {
    name: nameInSet,
    audiences: reporterCreate.shape.audiences,
    write_secret: z
      .strictObject(WRITE_REPORTER_SECRET, PLACE_FAULTS.type)
      .refine(hasOnePlace, PLACE_FAULTS.one)
      .optional(),
  },
  key: {
    tenant: field.tenantId,
    name: nameInSet,
    renamed_from: nameInSet.optional(),
    ...z.object(keySettings).partial().shape,
    disabled: field.flag.default(false),
    credentials: z
      .array(
        z.discriminatedUnion(
          'type',
          [z.strictObject(CREDENTIAL.federated), z.strictObject(CREDENTIAL.public_key)],
          'must have the type federated or public_key',
        ),
        'must be a list',
      )
      .default([]),
    write_secret: z
      .strictObject(WRITE_SECRET, PLACE_FAULTS.type)
      .refine(hasOnePlace, PLACE_FAULTS.one)
      .optional(),
  },
} satisfies Record<string, Record<string, z.ZodType>>

type Resource = keyof typeof SHAPES
const RESOURCES = Object.keys(SHAPES) as Resource[]

/** A declared object, in the form of the API: times are RFC 3339 text, absent settings are missing. */
export interface Declaration {
  resource: Resource
  // biome-ignore lint/suspicious/noExplicitAny: the schema of each resource has checked its fields
  fields: Record<string, any>
}

/** A fault of a document. `known`: the names that the unknown one may have been meant to be. */
export interface DeclarationFault extends Fault {
  known?: readonly string[]
}

/** The fields that a declaration may have. A response of the API has more, and those of a newer service more again. */
export const declarableFields = (resource: Resource): readonly string[] => Object.keys(SHAPES[resource])

/** One document of a file. */
export function readDeclaration(value: unknown): Declaration | { faults: DeclarationFault[] } {
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    return { faults: [{ pointer: '', message: 'The document must be an object with resource' }] }
  const { resource, ...rest } = value as Record<string, unknown>
  const known = RESOURCES.find(name => name === resource)
  if (known === undefined) {
    const message = `must be one of ${RESOURCES.join(', ')}`
    return { faults: [{ pointer: '/resource', message }] }
  }
  const read = z.strictObject(SHAPES[known]).safeParse(rest)
  if (!read.success) return { faults: faultsOf(known, read.error) }
  return { resource: known, fields: JSON.parse(JSON.stringify(read.data)) }
}

const faultsOf = (resource: Resource, error: ZodError): DeclarationFault[] =>
  error.issues.flatMap((issue): DeclarationFault[] => {
    const pointer = issue.path.map(part => `/${escapePointer(String(part))}`).join('')
    if (issue.code !== 'unrecognized_keys') return [{ pointer, message: issue.message }]
    return issue.keys.map(key => ({
      pointer: `${pointer}/${escapePointer(key)}`,
      message: 'is not a known field',
      known: knownAt(resource, issue.path.map(String)),
    }))
  })

/** The fields at a place of a document. */
function knownAt(resource: Resource, [first, second]: string[]): readonly string[] {
  if (first === 'limits') return LIMIT_NAMES
  if (first === 'write_secret')
    return Object.keys(
      second ? PLACE.kubernetes.unwrap().shape : resource === 'key' ? WRITE_SECRET : WRITE_REPORTER_SECRET,
    )
  if (first === 'credentials') return Object.values(CREDENTIAL).flatMap(shape => Object.keys(shape))
  return first === undefined ? ['resource', ...Object.keys(SHAPES[resource])] : []
}
