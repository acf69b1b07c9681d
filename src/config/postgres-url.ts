import { Secret } from '../system/secret.ts'

/** Parameters of which pg and Mintmark mean the same. */
const PARAMETERS = [
  'host',
  'port',
  'user',
  'password',
  'sslmode',
  'sslrootcert',
  'sslcert',
  'sslkey',
  'sslnegotiation',
  'uselibpqcompat',
  'options',
  'application_name',
  'fallback_application_name',
]
const SSL_MODES = ['disable', 'no-verify', 'prefer', 'require', 'verify-ca', 'verify-full']
const NEGOTIATIONS = ['postgres', 'direct']
const CHANNEL_BINDINGS = ['disable', 'prefer']
const PORT = 'must have a number from 1 to 65535 as port'
const SEVERAL_HOSTS =
  'must name one host, as a connection goes to one: use the address of your cluster (a service, HAProxy, PgBouncer, a DNS name), which leads to the primary'
const FORM =
  'must be a URL like postgres://user:password@host:5432/database, or postgres://user:password@/database?host=/folder/of/the/socket'

/**
 * The URL of a database, as pg reads it. What pg would read otherwise than it is written is refused: a password with a
 * special character could become a host or a database, which messages show. So no message here shows a part of the URL.
 */
export function postgresUrl(text: string): Secret {
  if (!/^postgres(ql)?:\/\//i.test(text)) throw new Error(FORM)
  if (/[\s\p{Cc}]/u.test(text)) throw new Error(encoded('a space', '%20'))
  if (text.includes('#')) throw new Error(encoded('a #', '%23'))
  checkUser(text)
  const url = parsed(text)
  const host = checkedParts(url)
  if (!isPort(url.port)) throw new Error(PORT)
  if (host.includes(',')) throw new Error(SEVERAL_HOSTS)
  // pg does not decode these in the name of a database, so none can be meant.
  if (/[/@:?]/.test(url.pathname.slice(1)))
    throw new Error(
      `${encoded('a /, @ or : in the user or the password', '%2F, %40 or %3A')}: here it ends the host`,
    )
  // It does not decode `encodeURI`'s reserved characters either.
  if (/%(2[346BCF]|3[ABDF]|40)/i.test(url.pathname))
    throw new Error(
      'must have & = + $ , ; in the name of the database as they are, and cannot have / ? # : @ there, as pg decodes none of them: rename such a database',
    )
  if (/%00/.test(text))
    throw new Error('must not contain %00, which Postgres has in no name and in no password')
  checkParameters(url.searchParams, url.search)
  return new Secret(text)
}

const encoded = (what: string, as: string) => `must not contain ${what}: write ${as}`

/** `u@secret@host`, with an @ in place of the colon: the user would be shown, and would name the database. */
function checkUser(text: string): void {
  const [, authority = ''] = /^\w+:\/\/([^/?]*)/.exec(text) ?? []
  const credentials = authority.slice(0, Math.max(0, authority.lastIndexOf('@')))
  if (/^[^:]*@[^:]*:?$/.test(credentials)) throw new Error(encoded('an @ in the user', '%40'))
}

/** pg reads a URL without a host in the same way. */
function parsed(text: string): URL {
  for (const candidate of [text, text.replace('@/', '@socket/')]) {
    if (URL.canParse(candidate)) return new URL(candidate)
  }
  const [, authority = ''] = /^\w+:\/\/([^/?]*)/.exec(text) ?? []
  const server = authority.slice(authority.lastIndexOf('@') + 1)
  if (server.includes(',')) throw new Error(SEVERAL_HOSTS)
  throw new Error(/^[^:]+:\d+$/.test(server) ? PORT : FORM)
}

/** The host, after the percent-encoding of all parts was checked. */
function checkedParts({ username, password, hostname, pathname, search }: URL): string {
  try {
    for (const part of [username, password, pathname, search]) decodeURIComponent(part)
    return decodeURIComponent(hostname)
  } catch {
    throw new Error(encoded('a % that begins no percent-encoding', '%25'))
  }
}

function checkParameters(parameters: URLSearchParams, search: string): void {
  if (search.includes('+')) throw new Error(encoded('a + after the ?, where it means a space', '%2B'))
  const value = (name: string) => parameters.get(name) ?? undefined
  if ([value('host'), value('port')].some(text => text?.includes(',')) || value('target_session_attrs'))
    throw new Error(SEVERAL_HOSTS)
  const binding = value('channel_binding')
  if (binding === 'require')
    throw new Error('must not have channel_binding=require, which is not supported: remove it')
  if (binding !== undefined && !CHANNEL_BINDINGS.includes(binding))
    throw new Error(`must have one of these as channel_binding: ${CHANNEL_BINDINGS.join(', ')}`)
  const names = [...parameters.keys()].filter(name => name !== 'channel_binding')
  if (names.some(name => !PARAMETERS.includes(name)))
    throw new Error(`must have no other parameters after the ? than ${PARAMETERS.join(', ')}`)
  if (search.includes('@'))
    throw new Error(encoded('a ? in the user or the password, or an @ after it', '%3F or %40'))
  if (new Set(names).size < names.length) throw new Error('must not have a parameter twice')
  if (!isPort(value('port'))) throw new Error(PORT)
  checkTls(value)
}

const isPort = (port: string | undefined): boolean =>
  port === undefined || port === '' || (/^\d{1,5}$/.test(port) && Number(port) >= 1 && Number(port) <= 65_535)

function checkTls(value: (name: string) => string | undefined): void {
  const mode = value('sslmode')
  if (mode !== undefined && !SSL_MODES.includes(mode))
    throw new Error(`must have one of these as sslmode: ${SSL_MODES.join(', ')}`)
  const negotiation = value('sslnegotiation')
  if (negotiation !== undefined && !NEGOTIATIONS.includes(negotiation))
    throw new Error(`must have one of these as sslnegotiation: ${NEGOTIATIONS.join(', ')}`)
  if (negotiation === 'direct' && mode === 'disable')
    throw new Error('must not have sslnegotiation=direct with sslmode=disable')
  const compatible = value('uselibpqcompat')
  if (compatible !== undefined && compatible !== 'true')
    throw new Error('must have true as uselibpqcompat, or not have it')
  if (compatible === 'true' && mode === 'verify-ca' && value('sslrootcert') === undefined)
    throw new Error('must have sslrootcert with sslmode=verify-ca')
  if (value('sslrootcert') === 'system')
    throw new Error("must have a file as sslrootcert: without it, Node's list of authorities is used")
  if ((value('sslcert') === undefined) !== (value('sslkey') === undefined))
    throw new Error('must have both sslcert and sslkey, or neither')
}
