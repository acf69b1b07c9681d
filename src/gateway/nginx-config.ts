import { readFileSync } from 'node:fs'
import { stripTypeScriptTypes } from 'node:module'
import { AUDIENCE, ISSUER } from './filter-parts.ts'
import { CLAIM_HEADERS, LONGEST_BODY_BYTES, MODEL_HEADER, MODEL_ROUTES } from './headers.ts'

/** deploy/nginx/: nginx.conf, and the njs that it calls. */

const CLAIMS = [...new Set(CLAIM_HEADERS.map(({ claim }) => claim))]
const variable = (claim: string) => `$mm_${claim}`
/** The header of the door's answer that holds the claim. */
const answered = (claim: string) =>
  `$upstream_http_${CLAIM_HEADERS.find(each => each.claim === claim)?.header.replaceAll('-', '_')}`
const lines = (texts: readonly string[], columns: number) => texts.join(`\n${' '.repeat(columns)}`)

export function nginxGate(): string {
  const text = (name: string) => readFileSync(new URL(name, import.meta.url), 'utf8')
  const routes = MODEL_ROUTES.map(({ path, priorityFromHeader }) => `  '${path}': ${priorityFromHeader},`)
  return text('nginx-gate.njs')
    .replace('@ISSUER@', ISSUER)
    .replace('@AUDIENCE@', AUDIENCE)
    .replace('@ROUTES@', () => routes.join('\n'))
    .replace('@READ_MODEL@', () => withoutTypes(text('model-in-body.ts')))
    .replace('@SET_CLAIMS@', () =>
      CLAIMS.map(claim => `  r.variables.mm_${claim} = claims.${claim}`).join('\n'),
    )
}

/** The text as a script: njs knows no types, and this file exports one thing. */
function withoutTypes(source: string): string {
  return stripTypeScriptTypes(source)
    .replaceAll(/(?<=\S) {2,}(?=\S)/g, ' ')
    .replaceAll(/ +(?=[,)\n])/g, '')
    .replaceAll(/^export /gm, '')
    .replaceAll(/\n{3,}/g, '\n\n')
    .trim()
}

export function nginxConf(): string {
  return `# nginx in front of vLLM, admitting Mintmark's tokens, and API keys, which it swaps for tokens. Made by
# scripts/generate-deploy.ts from src/gateway/: do not edit here what that list says. docs/guides/nginx.md explains it;
# test/gateways/nginx.test.ts runs this very file.
#
# Mintmark needs: MINTMARK_GATEWAY_MODEL=header:${MODEL_HEADER}
# Yours to change: the two addresses in "upstream", where clients connect ("listen"; your certificate goes there), and in
# mintmark.js the issuer and the audience.
# Oldest: nginx 1.22.1 with Debian's security fixes (elsewhere 1.26.3 or 1.28), njs 0.7.9.

load_module modules/ngx_http_js_module.so;
worker_processes auto;
pid /run/nginx.pid;
error_log stderr warn;

events { worker_connections 4096; }

http {
  access_log off;
  js_path /etc/nginx/mintmark;
  js_import mintmark from mintmark.js;
  # Set by mintmark.js, or from the door's answer; never by a client.
  ${lines(
    ['mm_model', 'mm_cache_key', ...CLAIMS.map(claim => `mm_${claim}`)].map(name => `js_var $${name} "";`),
    2,
  )}

  # A yes of the door, for at most five seconds, by a digest of the credential and the model. It holds tokens: keep it in memory.
  proxy_cache_path /dev/shm/mintmark keys_zone=mintmark:4m max_size=64m inactive=10s use_temp_path=off;

  upstream vllm { server vllm:8000; keepalive 32; }
  upstream mintmark { server mintmark:8082; keepalive 32; }

  server {
    listen 0.0.0.0:10000;
    server_name _;
    client_header_timeout 10s;
    client_max_body_size ${LONGEST_BODY_BYTES};
    # All of a body in memory, because its model is looked for.
    client_body_buffer_size ${LONGEST_BODY_BYTES};
    proxy_http_version 1.1;

    # Not the client's headers less a list, but a list: nginx cannot remove names by how they begin. Add here what your
    # engine needs of its clients' headers; never one of docs/guides/vllm.md.
    proxy_pass_request_headers off;
    proxy_set_header Host $host;
    proxy_set_header Connection "";
    proxy_set_header Content-Type $content_type;
    proxy_set_header Accept $http_accept;
    proxy_set_header User-Agent $http_user_agent;
    proxy_set_header X-Forwarded-For $remote_addr;
    ${lines(
      CLAIM_HEADERS.map(({ header, claim }) => `proxy_set_header ${header} ${variable(claim)};`),
      4,
    )}
    proxy_set_header ${MODEL_HEADER} $mm_model;

    # The four routes that name a model. mintmark.js finds it, verifies a token, and goes on to @token or @key.
    # (\\z, because $ would also take a path that ends in a line.)
    location ~ ^(${MODEL_ROUTES.map(({ path }) => path).join('|')})\\z {
      if ($request_method != POST) { return 405; }
      js_content mintmark.gate;
    }

    location @token {
      proxy_pass http://vllm$uri$is_args$args;
      proxy_buffering off;
      proxy_read_timeout 900s;
    }

    location @key {
      auth_request /_check;
      ${lines(
        CLAIMS.map(claim => `auth_request_set ${variable(claim)} ${answered(claim)};`),
        6,
      )}
      auth_request_set $mm_denial $upstream_http_x_mintmark_denial;
      error_page 401 = @denied401;
      error_page 403 = @denied403;
      # The door is away, or has a fault.
      error_page 500 = @unavailable;
      proxy_pass http://vllm$uri$is_args$args;
      proxy_buffering off;
      proxy_read_timeout 900s;
    }

    location = /_check {
      internal;
      proxy_pass http://mintmark/check;
      proxy_connect_timeout 1s;
      proxy_read_timeout 2s;
      proxy_pass_request_body off;
      proxy_set_header Content-Length "";
      proxy_set_header Connection "";
      proxy_set_header Authorization $http_authorization;
      proxy_set_header X-Api-Key $http_x_api_key;
      proxy_set_header Api-Key $http_api_key;
      proxy_set_header ${MODEL_HEADER} $mm_model;
      proxy_set_header X-Forwarded-For $remote_addr;
      proxy_cache mintmark;
      proxy_cache_key $mm_cache_key;
      proxy_cache_lock on;
    }

    # Not the engine's list, which names every tenant's adapters: Mintmark lists what the caller may use, and sees to the
    # credential itself.
    location = /v1/models {
      if ($request_method != GET) { return 405; }
      error_page 502 504 = @unavailable;
      proxy_pass http://mintmark/v1/models;
      proxy_pass_request_body off;
      proxy_set_header Content-Length "";
      proxy_set_header Connection "";
      proxy_set_header Authorization $http_authorization;
      proxy_set_header X-Api-Key $http_x_api_key;
      proxy_set_header Api-Key $http_api_key;
      proxy_set_header X-Forwarded-For $remote_addr;
    }

    # Everything else never reaches the engine.
    location / {
      default_type application/json;
      return 404 '{"error":{"message":"This route is not open.","type":"invalid_request_error","code":"not_found","param":null}}';
    }

    error_page 413 = @too_long;
    location @too_long {
      default_type application/json;
      return 413 '{"error":{"message":"The body is longer than ${LONGEST_BODY_BYTES} bytes.","type":"invalid_request_error","code":"body_too_large","param":null}}';
    }
    location @denied401 {
      default_type application/json;
      return 401 $mm_denial;
    }
    location @denied403 {
      default_type application/json;
      return 403 $mm_denial;
    }
    location @unavailable {
      default_type application/json;
      add_header Retry-After 1 always;
      return 503 '{"error":{"message":"The token service cannot answer at the moment. Try again.","type":"server_error","code":"unavailable","param":null}}';
    }
  }
}
`
}
