import { readFileSync } from 'node:fs'
import {
  type AllowedRoute,
  LIST_ROUTES,
  LONGEST_BODY_BYTES,
  MODEL_HEADER,
  MODEL_ROUTES,
  STRIPPED_NAMES,
  STRIPPED_PREFIXES,
} from './headers.ts'

/**
 * The pieces of Envoy configuration that plain Envoy and Istio's EnvoyFilter share. Text in, text out: the files in
 * deploy/ are meant to be read, so they are written, not serialized.
 */

export const ISSUER = 'https://tokens.example.com'
export const AUDIENCE = 'vllm'

/** Every line but the first moved right, for a piece that is put into a template after `columns` spaces. */
export function indent(text: string, columns: number): string {
  return text.trimEnd().replaceAll(/\n(?=[^\n])/g, `\n${' '.repeat(columns)}`)
}

/** The Lua that finds `model` in a JSON body. */
export function modelScannerLua(): string {
  return `${readFileSync(new URL('model-in-body.lua', import.meta.url), 'utf8')}\n`
}

/** The Lua that turns the body's `model` into a header. */
export function modelHeaderLua(): string {
  const routes = MODEL_ROUTES.map(({ path, priorityFromHeader }) => `  ["${path}"] = ${priorityFromHeader},`)
  return readFileSync(new URL('model-header.lua', import.meta.url), 'utf8')
    .replace('@SCANNER@\n', modelScannerLua)
    .replaceAll('@MODEL_HEADER@', MODEL_HEADER)
    .replaceAll('@LONGEST_BODY@', String(LONGEST_BODY_BYTES))
    .replace('@ROUTES@', () => routes.join('\n'))
}

/**
 * The strip list as Lua, for a gateway whose Envoy may be older than 1.36: only from there on can Envoy remove headers
 * by prefix without a script (envoyproxy/envoy#41076).
 */
export function stripHeadersLua(): string {
  return `
-- Removes what only the gateway may say, however it is spelled: behind it, some cannot tell _ from -.
local NAMES = {
${STRIPPED_NAMES.map(name => `  ["${name}"] = true,`).join('\n')}
}
local PREFIXES = {
${STRIPPED_PREFIXES.map(({ name }) => `  "${name}",`).join('\n')}
}

local function is_stripped(name)
  local read = string.gsub(string.lower(name), "_", "-")
  if NAMES[read] then return true end
  for _, prefix in ipairs(PREFIXES) do
    if string.sub(read, 1, #prefix) == prefix then return true end
  end
  return false
end

function envoy_on_request(handle)
  local headers = handle:headers()
  local found = {}
  for name in pairs(headers) do
    if is_stripped(name) then found[#found + 1] = name end
  end
  for _, name in ipairs(found) do headers:remove(name) end
end`.trimStart()
}

type Expression = { [kind: string]: unknown }
const text = (value: string): Expression => ({ const_expr: { string_value: value } })
const field = (of: string, name: string): Expression => ({
  select_expr: { operand: { ident_expr: { name: of } }, field: name },
})
const call = (name: string, ...args: Expression[]): Expression => ({ call_expr: { function: name, args } })
const at = (map: Expression, key: string) => call('_[_]', map, text(key))

const PAYLOAD = at(at(field('metadata', 'filter_metadata'), 'envoy.filters.http.jwt_authn'), 'payload')

/**
 * The closed entitlement rule: on a route that names a model, the model is in the token's `models` or `adapters`; the
 * list of models needs a token only; nothing else passes. CEL, as the syntax tree that is all that Envoy's RBAC takes.
 */
export function entitlementRules(): string {
  const model = at(field('request', 'headers'), MODEL_HEADER)
  const isEntitled = call(
    '_||_',
    call('@in', model, at(PAYLOAD, 'models')),
    call('@in', model, at(PAYLOAD, 'adapters')),
  )
  return `
action: ALLOW
# payload is the verified token: metadata.filter_metadata["envoy.filters.http.jwt_authn"]["payload"]. Where a condition
# asks for what is not there, a token or the header, it has no value, and that is a refusal.
policies:
  list-models:
    permissions:
      - ${indent(permission(LIST_ROUTES), 8)}
    principals: [{ any: true }]
    # payload["tenant"] != ""
    condition:
      ${indent(renderYaml(call('_!=_', at(PAYLOAD, 'tenant'), text(''))), 6)}
  entitled-model:
    permissions:
      - ${indent(permission(MODEL_ROUTES), 8)}
    principals: [{ any: true }]
    # request.headers["${MODEL_HEADER}"] in payload["models"] ||
    # request.headers["${MODEL_HEADER}"] in payload["adapters"]
    condition:
      ${indent(renderYaml(isEntitled), 6)}
`.trimStart()
}

function permission(routes: readonly AllowedRoute[]): string {
  return `and_rules:
  rules:
    - header: { name: ":method", string_match: { exact: ${routes[0]?.method} } }
    - or_rules:
        rules:
${routes.map(({ path }) => `          - url_path: { path: { exact: ${path} } }`).join('\n')}`
}

/** Block style, strings quoted where they are not plain words. */
function renderYaml(value: unknown): string {
  if (Array.isArray(value)) return value.map(item => `- ${indent(renderYaml(item), 2)}`).join('\n')
  if (typeof value !== 'object' || value === null)
    return /^\w+$/.test(String(value)) ? String(value) : JSON.stringify(value)
  const lines = Object.entries(value).map(([key, inner]) => {
    const rendered = renderYaml(inner)
    return typeof inner === 'object' ? `${key}:\n  ${indent(rendered, 2)}` : `${key}: ${rendered}`
  })
  return lines.join('\n')
}
