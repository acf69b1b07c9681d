import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { Express } from 'express'
import { onlyMethods } from '../../http/express-app.ts'
import { RequestError } from '../../http/request-error.ts'
import type { AdminRoute } from '../route.ts'
import { openApiDocument } from './document.ts'

const DOCUMENT = '/admin/openapi.json'
const PAGE = '/admin/reference'
export const STYLE = '/admin/reference.css'
export const SCRIPT = '/admin/reference.js'

/** Where `npm run build` writes the page and its files. The same folder relative to src and to dist. */
export const REFERENCE_FOLDER = fileURLToPath(new URL('../../../dist/reference/', import.meta.url))

const FILES = { [PAGE]: 'index.html', [STYLE]: 'reference.css', [SCRIPT]: 'reference.js' }

/**
 * Allows only files of this listener, and no requests from the script. The hash is of an empty style element, to which
 * Redoc adds its rules; the colours of its examples are style attributes, which can neither execute nor load anything.
 */
const PAGE_POLICY = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self' 'sha256-47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU='",
  "style-src-attr 'unsafe-inline'",
  'img-src data:',
  'font-src data:',
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
].join('; ')

/** The document and the page need no token: they reveal no more than the source code. */
export function mountReference(
  app: Express,
  routes: readonly AdminRoute[],
  folder: string = REFERENCE_FOLDER,
): void {
  let document: string | undefined
  app
    .route(DOCUMENT)
    .get((_req, res) => {
      document ??= JSON.stringify(openApiDocument(routes))
      res.type('application/json').send(document)
    })
    .all(onlyMethods('GET'))
  for (const [path, file] of Object.entries(FILES)) {
    app
      .route(path)
      .get((_req, res) => {
        if (!existsSync(join(folder, file))) throw notBuilt()
        res.set('Content-Security-Policy', PAGE_POLICY)
        res.sendFile(file, { root: folder, cacheControl: false, lastModified: false })
      })
      .all(onlyMethods('GET'))
  }
}

const notBuilt = () =>
  new RequestError(
    404,
    `The reference page is not built. Run "npm run reference", then reload. ${DOCUMENT} describes the admin API for programs.`,
  )
