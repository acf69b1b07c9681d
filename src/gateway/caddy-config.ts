import { CLAIM_HEADERS, LIST_ROUTES, LONGEST_BODY_BYTES, MODEL_ROUTES, STRIPPED_NAMES } from './headers.ts'
import { REMOVED_HEADERS } from './set-headers.ts'

/** Of the client's headers whose names have a dash, all that pass. */
const KEPT = [...REMOVED_HEADERS, 'Content-Type', 'User-Agent']
/** Names on the strip list that have none. */
const SINGLE_WORDS = STRIPPED_NAMES.filter(name => !name.includes('-'))
/** Connection may name headers that a proxy drops on the way, ours among them. */
const HOP_BY_HOP = ['connection', 'upgrade', 'te', 'trailer']

const each = (texts: readonly string[], columns: number) => texts.join(`\n${'\t'.repeat(columns)}`)
/** As it was sent, not decoded: what the engine is asked for is what was compared. */
const spelled = (routes: readonly { path: string }[]) =>
  `expression \`{http.request.uri}.matches('^(${routes.map(({ path }) => path).join('|')})([?].*)?$')\``
const variable = (name: string) => `kept_${name.toLowerCase().replaceAll('-', '_')}`

/** deploy/caddy/Caddyfile. */
export function caddyfile(): string {
  const error = (message: string, type: string, code: string) =>
    `\`{"error":{"message":"${message}","type":"${type}","code":"${code}","param":null}}\``
  return `# Caddy in front of vLLM: API keys and tokens, about both of which it asks Mintmark. Made by scripts/generate-deploy.ts from
# src/gateway/: do not edit here what that list says. docs/guides/caddy.md explains it; test/gateways/caddy.test.ts runs
# this very file.
#
# IT DOES NOT LOOK AT THE MODEL: any caller may name any model or adapter that the engine has.
#
# Yours to change: vllm:8000, mintmark:8082, and the site's address ":10000" (a host name there gets a certificate).
# Oldest Caddy: 2.6.2 of Debian; not 2.10.0 up to the fix of GHSA-7r4p-vjf4-gxv4 (caddyserver/caddy#7545), so 2.11.2 elsewhere.

{
	admin off
}

:10000 {
	# What clients may ask, spelled exactly so.
	@model {
		method POST
		${spelled(MODEL_ROUTES)}
	}
	@list {
		method GET
		${spelled(LIST_ROUTES)}
	}
	header -Server

	# Not the client's headers less a list: Caddy cannot know every spelling of a name. Every name with a dash or an underscore
	# goes, but for these few.
	route {
		${each(
      KEPT.map(name => `vars ${variable(name)} {header.${name}}`),
      2,
    )}
		request_header -*-*
		request_header -*_*
		${each(
      [...SINGLE_WORDS, ...HOP_BY_HOP].map(name => `request_header -${name}`),
      2,
    )}
		${each(
      KEPT.map(name => `request_header ${name} {http.vars.${variable(name)}}`),
      2,
    )}

		handle @model {
			request_body {
				max_size ${LONGEST_BODY_BYTES}
			}
			# Every one of these is in each answer, and takes the place of what a client sent.
			forward_auth mintmark:8082 {
				uri /check
				copy_headers ${CLAIM_HEADERS.map(({ header }) => header).join(' ')}
			}
			# The engine gets neither the key nor the token.
			${each(
        ['Authorization', ...REMOVED_HEADERS].map(name => `request_header -${name}`),
        3,
      )}
			reverse_proxy vllm:8000 {
				flush_interval -1
			}
		}

		# Not the engine's list, which names every tenant's adapters: Mintmark lists what the caller may use.
		handle @list {
			reverse_proxy mintmark:8082
		}

		handle {
			header Content-Type application/json
			respond ${error('This route is not open.', 'invalid_request_error', 'not_found')} 404
		}
	}

	handle_errors {
		header Content-Type application/json
		@away expression \`{http.error.status_code} in [502, 503, 504]\`
		header @away Retry-After 1
		respond @away ${error('The service cannot answer at the moment. Try again.', 'server_error', 'unavailable')} 503
		respond ${error('The request cannot be read.', 'invalid_request_error', 'invalid_request')} {http.error.status_code}
	}
}
`
}
