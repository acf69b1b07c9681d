import { z } from 'zod'
import { AUDIENCE } from '../config/formats.ts'
import { SET_NAME } from '../sets/set-object.ts'
import { LIMIT_NAMES, LIMIT_RANGE, LIMITS, type LimitName } from '../tenants/limits.ts'
import { ENGINE_NAME, LONGEST_NAME, MODEL_NAME, RESERVED_NAME, SCOPE, TENANT_ID } from '../tenants/name.ts'
import { shownAs } from './route-docs.ts'

/** The formats of fields that several resources share. Messages complete the sentence "<field> …". */

export const text = (longest: number) =>
  z
    .string('must be text')
    .max(longest, `must be at most ${longest} characters`)
    // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what this refuses
    .regex(/^[^\u0000-\u001f\u007f]*$/, 'must not contain control characters')

export const displayName = text(200)
export const description = text(1000)
export const reason = text(500)

const labelName = z
  .string()
  .regex(
    /^[A-Za-z0-9][-A-Za-z0-9._/]{0,62}$/,
    'must have names of at most 63 letters, digits and - . _ /, beginning with a letter or digit',
  )
export const labels = z.record(labelName, text(200), 'must be an object with text as values')
/** The id of a pepper in MINTMARK_PEPPERS (config/formats.ts). */
export const pepperId = z
  .string('must be text')
  .regex(/^[A-Za-z0-9_-]{1,32}$/, 'must be the id of a pepper, like p1')
export const creator = z
  .string('must be text')
  .regex(/^(root|system|adm_[0-9A-Za-z]{16})$/, 'must be root, system, or the id of an admin token')
export const keyId = z
  .string('must be text')
  .regex(/^key_[0-9A-Za-z]{16}$/, 'must be the id of a key, like key_7Hq2kd9XwP3mZt5B')
/** RFC 7396: null takes a label away. */
export const labelsPatch = z.record(
  labelName,
  text(200).nullable(),
  'must be an object with text or null as values',
)

export const tenantId = z
  .string('must be text')
  .regex(
    TENANT_ID,
    'must be 1 to 63 characters of a-z, 0-9 and -, beginning and ending with a letter or digit',
  )

export const setName = z
  .string('must be text')
  .regex(
    SET_NAME,
    'must be 1 to 63 characters of a-z, 0-9 and -, beginning and ending with a letter or digit',
  )

const engineName = z
  .string('must be text')
  .regex(ENGINE_NAME, 'must be 1 to 96 letters, digits and - . _ : / @, beginning with a letter or digit')

const notReserved = (schema: z.ZodString) =>
  schema.refine(name => name !== RESERVED_NAME, `must not be "${RESERVED_NAME}", which is reserved`)

export const tierName = engineName
export const adapterName = notReserved(engineName)
export const modelName = notReserved(
  z
    .string('must be text')
    .max(LONGEST_NAME, `must be at most ${LONGEST_NAME} characters`)
    .regex(
      MODEL_NAME,
      'must be letters, digits and - . _ : / @, beginning with a letter or digit, or with / or ./ or ../ before it',
    ),
)

const list = <T extends z.ZodType>(entry: T) =>
  // Duplicate entries are rejected by tenantFaults and keyFaults.
  z.array(entry, 'must be a list').max(100, 'must have at most 100 entries').meta({ uniqueItems: true })

export const tierNames = list(tierName)
export const modelNames = list(modelName)
export const adapterNames = list(adapterName)
export const scopes = list(
  z
    .string('must be text')
    .regex(SCOPE, 'must be 1 to 64 printable characters without space, quote or backslash'),
)
export const audiences = list(
  z
    .string('must be text')
    .regex(AUDIENCE, 'must be 1 to 196 printable characters without space, comma, quote or backslash'),
)

export const wholeNumber = (min: number, max: number) => {
  const message = `must be a whole number from ${min} to ${max}`
  return z.int(message).min(min, message).max(max, message)
}

export const wholeNumberOrZero = (min: number, max: number) =>
  z.union([z.literal(0), wholeNumber(min, max)], `must be 0, or a whole number from ${min} to ${max}`)

/** Four members with the same schema, described. `whenUnset`: the meaning of null. */
const eachLimit = <T extends z.ZodType>(schema: T, whenUnset: string) =>
  Object.fromEntries(
    LIMIT_NAMES.map(name => [name, schema.describe(`Number of ${LIMITS[name]}. null: ${whenUnset}.`)]),
  ) as Record<LimitName, T>

export const limits = (whenUnset: string) =>
  z
    .strictObject(
      eachLimit(wholeNumber(LIMIT_RANGE.min, LIMIT_RANGE.max).nullable(), whenUnset),
      'must be an object with limits',
    )
    .partial()

/** Limits in responses, all four. */
export const answeredLimits = (whenUnset: string) =>
  z.strictObject(eachLimit(z.int().min(LIMIT_RANGE.min).max(LIMIT_RANGE.max).nullable(), whenUnset))

/** In a query, where everything is text. */
export const queryFlag = (description: string) =>
  z
    .enum(['true', 'false'], 'must be true or false')
    .default('false')
    .transform(text => text === 'true')
    .describe(description)
    .register(shownAs, { schema: { type: 'boolean', default: false } })

export const flag = z.boolean('must be true or false')

export const LONGEST_OVERLAP_SECONDS = 30 * 86_400

/** In the body of the rotation of a secret. `whenTwo`: which of two secrets `replace` selects, and what null means. */
export const rotation = (whenTwo: string) => ({
  overlap_seconds: wholeNumber(0, LONGEST_OVERLAP_SECONDS)
    .default(86_400)
    .describe('How long the previous secret stays valid.'),
  replace: z
    .enum(['oldest', 'newest'], 'must be "oldest", "newest" or null')
    .nullable()
    .default(null)
    .describe(whenTwo),
})

/** In the body of a change that takes rights from a key or a tenant. */
export const revokeTokens = flag.describe(
  'Also revoke the tokens that are already issued. If false (the default), these tokens keep their old rights: gateways, `/check` and introspection accept them until they expire. Exception: while a key is disabled, `/check` and introspection reject its tokens.',
)

/** `team=ml`, or `team` for any value. */
export const labelFilter = z
  .string('must be text')
  .max(300, 'must be at most 300 characters')
  .refine(text => !text.includes('\0') && text.isWellFormed(), 'must not contain a NUL character')
  .transform(text => {
    const [name = '', ...value] = text.split('=')
    return { name, ...(value.length > 0 && { value: value.join('=') }) }
  })

/** RFC 3339 §5.6: T and Z may be in lower case. */
const DATE_TIME = new RegExp(z.regexes.datetime({ offset: true }).source, 'i')

/**
 * RFC 3339, as a Date whose year in UTC has four digits too: an offset may change the year, and Postgres has no year 0.
 */
export const instant = z
  .stringFormat('date-time', DATE_TIME, 'must be a time like 2027-01-31T12:00:00Z')
  .transform(value => new Date(value.toUpperCase()))
  .refine(
    date => date.getUTCFullYear() >= 1 && date.getUTCFullYear() <= 9999,
    'must be in the years 1 to 9999, in UTC',
  )

/** The body of a JSON Merge Patch (RFC 7396): any of the fields; null resets one to its default. */
export function mergePatch<Shape extends Readonly<Record<string, z.ZodType>>>(fields: Shape) {
  const nullable = Object.fromEntries(
    Object.entries(fields).map(([name, schema]) => [
      name,
      schema.nullable().describe(schema.description ?? ''),
    ]),
  )
  return z.strictObject(nullable as { [Field in keyof Shape]: z.ZodNullable<Shape[Field]> }).partial()
}

/** Absent fields must be missing, not undefined, which would overwrite. */
export function withoutUndefined<T extends object>(value: T): { [K in keyof T]?: Exclude<T[K], undefined> } {
  return Object.fromEntries(Object.entries(value).filter(([, member]) => member !== undefined)) as never
}
