import {
  type AllowedRoute,
  REQUIRED_SCOPE,
  STRIPPED_NAMES,
  STRIPPED_PREFIXES,
} from '../../../src/gateway/headers.ts'
import { REFUSED_WITHOUT_REWRITE, UUID_FIELDS } from '../../../src/gateway/refused-fields.ts'

/**
 * Rules in CEL for agentgateway. Only functions that its documentation lists, no `$` (it expands variables of the environment in
 * its configuration) and no backslash. An expression that fails counts as false, so each rule says what is allowed.
 */

const list = (names: readonly string[]) => `[${names.map(name => JSON.stringify(name)).join(', ')}]`

/** A value that is not a data: URI, after the name of the field. CEL has no negative patterns. */
const NOT_DATA = '([^dD]|[dD][^aA]|[dD][aA][^tT]|[dD][aA][tT][^aA]|[dD][aA][tT][aA][^:])'

/** The token has the scope. Its signature, issuer, audience and time are those of `jwtAuth`. */
const HAS_SCOPE = `"${REQUIRED_SCOPE}" in jwt.scope.split(" ")`

/**
 * The names are in lower case. Those with dashes are removed before; behind CGI-like stacks one with underscores would be
 * the same.
 */
const OWN_HEADERS = [
  'request.headers.all(h,',
  `  !(h.replace("_", "-") in ${list(STRIPPED_NAMES.filter(name => name.includes('-')))}) &&`,
  `  !h.replace("_", "-").matches("^(${STRIPPED_PREFIXES.map(({ name }) => name).join('|')})"))`,
]

/** As `isPlainJson` of src/gateway/model-in-body.ts has it. */
const PLAIN_JSON = [
  'request.headers["content-type"].lowerAscii().replace(" ", "").replace("\'", "?").replace(\'"\', "") in',
  '  ["application/json", "application/json;", "application/json;charset=utf-8", "application/json;charset=utf8"]',
  '!("content-encoding" in request.headers)',
]

/**
 * Media that the engine would fetch, and the media of other requests. The text is that of the body as it is read here, in which a
 * quote of a string has a backslash, so that it is never taken for the quote of a name. Without what engines do not
 * read: tools, notes, and the arguments of tools in the parts of a message.
 */
const EMBEDS_MEDIA = [
  '[toJson(b.merge({"tools": null, "metadata": null, "response_format": null,',
  '  "messages": !("messages" in b) ? null : b.messages.map(m,',
  '    "content" in m && toJson(m.content).startsWith("[") ?',
  '      m.merge({"content": m.content.map(p, p.merge({"input": null}))}) : m)',
  '}))].all(t,',
  `  !t.matches('"(image_url|audio_url|video_url)":"${NOT_DATA}') &&`,
  `  !(t.matches('"(image_url|audio_url|video_url|source)":[{]') && t.matches('"url":"${NOT_DATA}')) &&`,
  `  !(t.matches('"(${UUID_FIELDS.join('|')})":') && t.contains('"uuid":'))) &&`,
  `(!("images" in b) || b.images.all(i, !i.matches('^${NOT_DATA}') && i.size() > 4)) &&`,
  `(!("input" in b) || !toJson(b.input).matches('"(image|video)":"${NOT_DATA}'))`,
]

const and = (...rules: readonly string[][]) => rules.map(lines => lines.join('\n')).join(' &&\n')

/** Admits `GET /v1/models` with a token. */
export const ADMITS_LIST = and(['request.method == "GET" && has(jwt.sub) &&', HAS_SCOPE], OWN_HEADERS)

/** Admits a request whose body names a model of the token. */
export function admitsModel({ priorityFromHeader }: Pick<AllowedRoute, 'priorityFromHeader'>): string {
  const refused = REFUSED_WITHOUT_REWRITE.concat(priorityFromHeader ? [] : ['priority'])
  const [type, types, encoding] = PLAIN_JSON
  return and(
    ['request.method == "POST" && has(jwt.sub) &&', HAS_SCOPE],
    OWN_HEADERS,
    [`${type}`, `${types} &&`, `${encoding}`],
    [
      '[json(request.body)].all(b,',
      ...[
        '(b.model in jwt.models || b.model in jwt.adapters) &&',
        `!${list(refused)}.exists(f, f in b) &&`,
        ...EMBEDS_MEDIA,
      ].map(line => `  ${line}`),
      ')',
    ],
  )
}

/** The models of the token, in the form of OpenAI's list and of Anthropic's. */
const modelsOf = (claim: string, owner: string) =>
  [
    `jwt.${claim}.map(m, {"id": m, "object": "model", "created": jwt.iat, "owned_by": ${owner},`,
    '  "type": "model", "display_name": m, "created_at": "1970-01-01T00:00:00Z"})',
  ].join('\n')
const ENTRIES = `(${modelsOf('models', '"mintmark"')} +\n${modelsOf('adapters', 'jwt.tenant')})`

/** Of a path below the list. A slash in a name may be encoded or not. */
const NAMED = (prefix: string) =>
  `request.path.substring(${prefix.length + 1}).replace("%2F", "/").replace("%2f", "/")`

export const IS_LIST = (path: string) => `request.path == "${path}"`
export const THE_LIST = `{"object": "list", "has_more": false, "data":\n${ENTRIES}}`
export const NAMES_ONE = (path: string) =>
  `request.path.startsWith("${path}/") && (jwt.models + jwt.adapters).exists(m, m == ${NAMED(path)})`
export const THE_ONE = (path: string) => `${ENTRIES}.filter(e, e.id == ${NAMED(path)})[0]`
