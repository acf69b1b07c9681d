// Writes docs/openapi.json from the routes of the admin API: npm run generate
import { writeFileSync } from 'node:fs'
import { adminRoutes } from '../src/admin/admin-app.ts'
import { openApiDocument } from '../src/admin/openapi/document.ts'

const document = openApiDocument(adminRoutes({} as never))
writeFileSync(new URL('../docs/openapi.json', import.meta.url), `${JSON.stringify(document, null, 2)}\n`)
console.log('docs/openapi.json')
