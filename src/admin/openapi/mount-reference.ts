import type { Express } from 'express'
import { onlyMethods } from '../../http/express-app.ts'
import type { AdminRoute } from '../route.ts'
import { openApiDocument } from './document.ts'
import { referencePage } from './reference-page.ts'
import { REFERENCE_STYLE } from './reference-style.ts'

const DOCUMENT = '/admin/openapi.json'
const PAGE = '/admin/reference'
const STYLE = '/admin/reference.css'

/** Nothing but our own style sheet: no script, no picture, no request to anyone else. */
const PAGE_POLICY =
  "default-src 'none'; style-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

/** The document and the page, for whoever reaches this listener: neither says more than the source code does. */
export function mountReference(app: Express, routes: readonly AdminRoute[]): void {
  let made: { document: string; page: string } | undefined
  const reference = () => {
    if (made) return made
    const document = openApiDocument(routes)
    const page = referencePage(document, { style: STYLE, document: DOCUMENT })
    made = { document: JSON.stringify(document), page }
    return made
  }
  app
    .route(DOCUMENT)
    .get((_req, res) => void res.type('application/json').send(reference().document))
    .all(onlyMethods('GET'))
  app
    .route(PAGE)
    .get(
      (_req, res) => void res.set('Content-Security-Policy', PAGE_POLICY).type('html').send(reference().page),
    )
    .all(onlyMethods('GET'))
  app
    .route(STYLE)
    .get((_req, res) => void res.type('css').send(REFERENCE_STYLE))
    .all(onlyMethods('GET'))
}
