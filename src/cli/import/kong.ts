import { createHash } from 'node:crypto'
import { parse } from 'yaml'
import { CliError, EXIT } from '../exit-codes.ts'
import type { ExportedKey } from './exported-key.ts'

/** Kong stores keys as they are: they are hashed here, and nothing else of them leaves this process. */

interface Credential {
  id?: string
  key?: unknown
  ttl?: number | null
  created_at?: number | null
  tags?: string[] | null
  /** In the dump of a database: the id of the consumer. */
  consumer?: string | { id?: string } | null
}

interface Consumer {
  id?: string
  username?: string | null
  custom_id?: string | null
  keyauth_credentials?: Credential[] | null
  [entity: string]: unknown
}

const OTHERS = [
  'acls',
  'plugins',
  'groups',
  'basicauth_credentials',
  'hmacauth_credentials',
  'jwt_secrets',
  'oauth2_credentials',
]
const CURES: Readonly<Record<string, string>> = {
  plugins: 'Limits: mintmark tenant update --requests-per-minute <n>. Others belong to the gateway.',
  acls: 'Set what the key may use: mintmark key update --scope <name> --model <name>.',
  groups: 'Set what the key may use: mintmark key update --scope <name> --model <name>.',
}
const OTHER_CREDENTIAL =
  'Only key-auth is imported. Clients with a key pair: mintmark identity add-credential.'

/**
 * Keys of Kong's key-auth plugin, in a file of `deck gateway dump` or `kong config db_export`, YAML or JSON.
 * @throws {CliError} that repeats no part of the file.
 */
export function kongKeys(text: string, file: string): ExportedKey[] {
  const document = readDocument(text, file)
  const consumers = listOf<Consumer>(document, 'consumers', file)
  const flat = listOf<Credential>(document, 'keyauth_credentials', file)
  const keys = consumers.flatMap(consumer =>
    listOf<Credential>(consumer, 'keyauth_credentials', file).map(credential =>
      toKey(credential, consumer, file),
    ),
  )
  const byId = new Map(consumers.map(consumer => [consumer.id, consumer]))
  const others = flat.map(credential => {
    const { consumer } = credential
    return toKey(credential, byId.get(typeof consumer === 'string' ? consumer : consumer?.id), file)
  })
  if (keys.length + others.length === 0)
    throw new CliError(EXIT.usage, `${file} contains no keyauth_credentials.`, [
      'Write one with "deck gateway dump" or "kong config db_export".',
    ])
  return [...keys, ...others]
}

function readDocument(text: string, file: string): object {
  let document: unknown
  try {
    document = parse(text, { logLevel: 'error' })
  } catch {
    // The parser's message repeats the line, which may have a key.
    throw new CliError(
      EXIT.usage,
      `${file} is neither YAML nor JSON. Use the output of "deck gateway dump" or "kong config db_export".`,
    )
  }
  const isObject = typeof document === 'object' && document !== null && !Array.isArray(document)
  if (!isObject)
    throw new CliError(
      EXIT.usage,
      `${file} is not a dump of Kong. Use the output of "deck gateway dump" or "kong config db_export".`,
    )
  return document as object
}

/** A member of an object of the dump. Empty lists are often written as nothing. */
function listOf<T extends object>(object: object, name: string, file: string): T[] {
  const list: unknown = Reflect.get(object, name) ?? []
  if (Array.isArray(list) && list.every(item => typeof item === 'object' && item !== null)) return list
  throw new CliError(EXIT.usage, `${file}: ${name} is not a list of objects.`)
}

function toKey(credential: Credential, consumer: Consumer | undefined, file: string): ExportedKey {
  const owner = consumer?.username ?? consumer?.custom_id ?? undefined
  const { key, ttl, created_at: createdAt } = credential
  if (typeof key !== 'string' || key === '')
    throw new CliError(EXIT.usage, `${file}: a key of the consumer "${owner ?? 'unknown'}" is not text.`)
  if (key.startsWith('{vault://') || key.startsWith('${'))
    throw new CliError(
      EXIT.usage,
      `${file}: a key of the consumer "${owner ?? 'unknown'}" is a reference to another place.`,
      ['Dump the keys themselves.'],
    )
  const hash = createHash('sha256').update(key).digest('hex')
  const isShort = key.length < 25
  return {
    clientId: `kong-${credential.id ?? hash.slice(0, 16)}`,
    name: [owner, credential.tags?.join(' ')].filter(part => part).join(': ') || 'key',
    owner,
    hash,
    disabled: false,
    expiresAt: ttl && createdAt ? (createdAt + ttl) * 1000 : undefined,
    unmapped: [
      ...(isShort
        ? [
            {
              code: 'short',
              message: 'A key of fewer than 25 characters is not accepted alone.',
              cure: SHORT,
            },
          ]
        : []),
      ...OTHERS.filter(name => isFilled(consumer?.[name])).map(name => ({
        code: `kong_${name}`,
        message: `${name} of a consumer is not imported.`,
        cure: CURES[name] ?? OTHER_CREDENTIAL,
      })),
    ],
  }
}

const SHORT = 'Give its client a new key: mintmark key rotate <key>.'
const isFilled = (value: unknown) => Array.isArray(value) && value.length > 0
