import { packageVersion } from '../../system/package-version.ts'
import type { InstallationRight, Role, TenantRight } from '../rights-table.ts'
import type { AdminRoute } from '../route.ts'
import { HEADERS, PARAMETERS } from './components.ts'
import { JsonSchemas } from './json-schema.ts'
import { groupOf, operationOf, templateOf } from './operation.ts'
import { sharedProblems } from './problems.ts'

/**
 * openapi/ generates the OpenAPI 3.1 document of the admin API from the mounted routes and the validating schemas, and
 * serves a page to read it. docs/openapi.json is its committed copy.
 */

type Group<R> = R extends `${infer Name}:${string}` ? Name : never

/** In the order of the document. A right for an unlisted group does not compile. */
const GROUPS: Record<Group<TenantRight | InstallationRight>, string> = {
  caller: 'The identity of the caller.',
  tenants: 'Customers or teams that share the engines, and what each may use.',
  keys: 'Long-lived API keys of tenants.',
  catalogue: 'Tiers, base models and LoRA adapters that tenants and keys can refer to.',
  'signing-keys': 'Keys that sign the tokens: list, rotate, hold and revoke them.',
  installation: 'Policy, peppers and encryption keys in use, and replicas of this installation.',
  'admin-tokens': 'Tokens that authenticate administrators, each with a role.',
  'token-revocations': 'Revocation of tokens that are already issued.',
  gateways: 'Gateways that receive the list of revoked tokens.',
  audit: 'Audit trail of changes and of rejected requests.',
  'identity-providers': 'Identity providers whose tokens are exchanged for tokens of a tenant.',
  usage: 'Who used what: sums of what gateways reported.',
  'usage-reporters': 'Gateways and collectors that report usage, each with a secret.',
  sets: 'Sets of objects that `mintmark apply` keeps as its files say.',
  clients: 'Import of clients and secret hashes from another system.',
}

/** What each role is for. */
const ROLES: Record<Exclude<Role, 'root'>, string> = {
  owner: 'All rights, like a root token.',
  operator: 'All rights except those over admin tokens, and except changing the policy of the installation.',
  auditor: 'Reads everything, and exports the audit trail.',
  introspector:
    'No right in this API: its token (`mmi_…`) is accepted only at `POST /oauth/introspect`, for tokens of some audiences.',
  'tenant-admin':
    'Manages API keys and admin tokens of one tenant. Can create keys with at most the rights of the tenant. On an existing key it can only reduce rights.',
}

const ROLE_TEXTS = Object.entries(ROLES)
  .map(([role, text]) => `| \`${role}\` | ${text} |`)
  .join('\n')

const DESCRIPTION = `Administration of Mintmark, which exchanges API keys for short-lived tokens (JWT).

### Authentication

Send a token with each request:

~~~
Authorization: Bearer mma_…
~~~

There are two kinds of token:

- **Root tokens** are set in the variable \`MINTMARK_ROOT_TOKEN\` of the service, separated by commas. A root token has all rights. Use it
  to create the first admin token, and in emergencies. If the variable is not set, no root token is accepted.
- **Admin tokens** are created with \`POST /admin/v1/admin-tokens\` or \`mintmark admin-token create\`. They expire, unless the policy of
  the installation allows tokens without expiry, and can be revoked. Each admin token has one role:

| Role | Rights |
|---|---|
${ROLE_TEXTS}

Each operation names the right that it requires and the roles that have this right. To create an admin token with a root token:

~~~sh
curl -X POST "$MINTMARK_URL/admin/v1/admin-tokens" \\
  -H "Authorization: Bearer $MINTMARK_ROOT_TOKEN" \\
  -H 'Content-Type: application/json' \\
  -d '{"name":"platform team","role":"operator"}'
~~~

### Conventions

- **Order of checks**: token (401), right (403), existence of the object (404), request (400). An object of another tenant
  gets the same 404 as one that does not exist.
- **Errors** are problem details (RFC 9457). Programs read \`code\`, people read \`detail\`. A wrong method gets 405
  with the header \`Allow\`.
- **Request bodies** are JSON; unknown members are rejected. An operation that needs no body accepts an empty body or \`{}\`. A
  PATCH is a JSON Merge Patch (RFC 7396): absent members keep their value, and \`null\` sets the default.
- **Responses**: a new version may add members. Ignore members that you do not know. Times are RFC 3339 in UTC. Durations
  are seconds, and their names end in \`_seconds\` (only \`usage_retention_days\` is in days).
- **Lists** are returned in pages, newest objects first. (Usage is in the order of time, gateways are in the order of their names, and a few short lists have one page.) For the next page, send \`next_cursor\` as \`cursor\` with the same
  filters. On the last page \`next_cursor\` is null.
- **Retries**: if you repeat a POST with the same \`Idempotency-Key\` within 24 hours, it is not executed again. You get the first response, without its secret.
- **Secrets** that Mintmark generates are returned once, in the first response, and only their HMAC is stored. Of imported secrets the given hash is stored.`

const SCHEME = `A root token of the service, or an admin token (\`mma_…\`) with a role. A missing or invalid token gets 401. A
role without the required right gets 403.`

/** The OpenAPI 3.1 document of these routes. */
export function openApiDocument(routes: readonly AdminRoute[]) {
  const schemas = new JsonSchemas()
  const paths: Record<string, Record<string, object>> = {}
  const groups = Object.keys(GROUPS)
  const order = (route: AdminRoute) => groups.indexOf(groupOf(route.right))
  for (const route of routes.toSorted((a, b) => order(a) - order(b))) {
    const path = `/admin/v1${templateOf(route.path)}`
    paths[path] = { ...paths[path], [route.method]: operationOf(route, schemas) }
  }
  const responses = sharedProblems(schemas)
  return {
    openapi: '3.1.1',
    info: { title: 'Mintmark admin API', version: packageVersion(), description: DESCRIPTION },
    servers: [{ url: '/', description: 'The admin listener, by default on port 8081.' }],
    security: [{ adminToken: [] }],
    tags: Object.entries(GROUPS).map(([name, description]) => ({ name, description })),
    paths,
    components: {
      securitySchemes: {
        adminToken: {
          type: 'http',
          scheme: 'bearer',
          description: SCHEME,
        },
      },
      parameters: PARAMETERS,
      headers: HEADERS,
      responses,
      schemas: Object.fromEntries(Object.entries(schemas.shapes).sort(([a], [b]) => (a < b ? -1 : 1))),
    },
  }
}
