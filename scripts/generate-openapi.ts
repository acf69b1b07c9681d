// Writes the OpenAPI documents in docs/, which are made from the source code of the listeners: npm run generate
import { writeFileSync } from 'node:fs'
import { adminRoutes } from '../src/admin/admin-app.ts'
import { openApiDocument } from '../src/admin/openapi/document.ts'
import { checkDocument } from './openapi/check-document.ts'
import { tokenDocument } from './openapi/token-document.ts'

const documents = {
  'openapi.json': openApiDocument(adminRoutes({} as never)),
  'openapi-token.json': tokenDocument(),
  'openapi-check.json': checkDocument(),
}
for (const [name, document] of Object.entries(documents)) {
  writeFileSync(new URL(`../docs/${name}`, import.meta.url), `${JSON.stringify(document, null, 2)}\n`)
  console.log(`docs/${name}`)
}
