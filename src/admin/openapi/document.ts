import { packageVersion } from '../../system/package-version.ts'
import type { InstallationRight, TenantRight } from '../rights-table.ts'
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
  tenants: 'Who shares the engines, and what each may use.',
  keys: 'The long-lived API keys of tenants.',
  catalogue: 'Tiers, base models and adapters.',
  'signing-keys': 'What tokens are signed with.',
  installation: 'The policy, and who serves it.',
  'admin-tokens': 'Who may administer.',
  audit: 'What was done, by whom.',
  clients: 'Clients of another system.',
}

const DESCRIPTION = `Administration of Mintmark, which exchanges API keys for short-lived tokens.

- **Checks** come in this order: the token (401), the right (403), whether the thing is there (404), the request (400).
  What belongs to another tenant is 404, in the same words as what is not there.
- **Errors** are RFC 9457 problem details. \`code\` is for programs. Another method on a path is 405 with \`Allow\`.
- **Bodies** are JSON; unknown members are refused. An operation without a body takes none, or \`{}\`. A PATCH is a
  JSON Merge Patch (RFC 7396): what is left out stays, and \`null\` clears.
- **Answers** may get new members with any version: pass over those that you do not know. Times are RFC 3339 in UTC,
  durations end in \`_seconds\`.
- **Lists** are pages, newest first: send \`next_cursor\` as \`cursor\`, with the same filters, until it is null.
- **Trying again**: a POST with an \`Idempotency-Key\` is done once in 24 hours, and answered as it was the first time.
  A secret is told once and never kept.`

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
    servers: [{ url: '/', description: 'The admin listener, 8081 unless set otherwise.' }],
    security: [{ adminToken: [] }],
    tags: Object.entries(GROUPS).map(([name, description]) => ({ name, description })),
    paths,
    components: {
      securitySchemes: {
        adminToken: {
          type: 'http',
          scheme: 'bearer',
          description: 'The root token, or an admin token (`mma_…`).',
        },
      },
      parameters: PARAMETERS,
      headers: HEADERS,
      responses,
      schemas: Object.fromEntries(Object.entries(schemas.shapes).sort(([a], [b]) => (a < b ? -1 : 1))),
    },
  }
}
