// Writes dist/reference/, which the admin listener serves at /admin/reference: npm run build, or npm run reference.
// Redocly's build-docs generates one HTML file with an inline script. The script becomes a separate file, so that the
// page's Content-Security-Policy need not allow inline scripts. Nothing is downloaded, neither here nor by the page:
// the one picture that Redoc loads from its vendor's server is replaced by its name.

import { spawnSync } from 'node:child_process'
import { copyFileSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { REFERENCE_FOLDER, SCRIPT, STYLE } from '../src/admin/openapi/mount-reference.ts'
import { referenceDocument } from './openapi/reference-document.ts'

const redocly = fileURLToPath(new URL('../node_modules/@redocly/cli/', import.meta.url))
const document = referenceDocument()
const options = { hideDownloadButtons: true, schemasExpansionLevel: 1, sortRequiredPropsFirst: true }

interface Operation {
  parameters?: { in?: string; name?: string; example?: unknown }[]
  requestBody?: { content: Record<string, { example?: unknown }> }
}

/** Where commands send their requests, and with what credential. */
const LISTENERS = {
  admin: {
    url: '$MINTMARK_URL',
    credential: ['  -H "Authorization: Bearer $MINTMARK_ADMIN_TOKEN"'],
  },
  token: { url: '$MINTMARK_PUBLIC_URL', credential: [] },
  gateway: { url: '$MINTMARK_GATEWAY_URL', credential: ['  -H "Authorization: Bearer $API_KEY"'] },
}

function listenerOf(path: string) {
  if (path.startsWith('/admin/')) return LISTENERS.admin
  return path.startsWith('/check') || path.startsWith('/v1/') ? LISTENERS.gateway : LISTENERS.token
}

function bodyOf(type: string | undefined, example: unknown): string[] {
  if (type === undefined || example === undefined) return []
  if (type === 'application/x-www-form-urlencoded')
    return Object.entries(example as object).map(([name, value]) => `  -d ${name}=${value}`)
  return [`  -H 'Content-Type: ${type}'`, `  -d '${JSON.stringify(example)}'`]
}

/** The command that sends an operation's own example. The document itself has none: it is for programs. */
function curl(method: string, template: string, { parameters = [], requestBody }: Operation): string {
  const examples = parameters.filter(({ example }) => example !== undefined)
  const path = examples
    .filter(parameter => parameter.in === 'path')
    .reduce((text, { name, example }) => text.replace(`{${name}}`, String(example)), template)
  const sent = examples.filter(parameter => parameter.in === 'query')
  const query = new URLSearchParams(sent.map(({ name = '', example }) => [name, String(example)])).toString()
  const [[type, media] = []] = Object.entries(requestBody?.content ?? {})
  const { url, credential } = listenerOf(template)
  return [
    `curl ${method === 'get' ? '' : `-X ${method.toUpperCase()} `}"${url}${path}${query && `?${query}`}"`,
    ...credential,
    ...bodyOf(type, media?.example),
  ].join(' \\\n')
}

const withCommands = (template: string, methods: Record<string, object>) =>
  Object.entries(methods).map(([method, operation]) => [
    method,
    { ...operation, 'x-codeSamples': [{ lang: 'curl', source: curl(method, template, operation) }] },
  ])
const paths = Object.entries(document.paths).map(([template, methods]) => [
  template,
  Object.fromEntries(withCommands(template, methods)),
])

const page = `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<title>${document.info.title}</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<link rel="icon" href="data:,">
<link rel="stylesheet" href="${STYLE}">
<body>
<div id="redoc"></div>
<noscript>This page needs JavaScript. <a href="/admin/openapi.json">openapi.json</a> describes the admin API for programs.</noscript>
<script type="module" src="${SCRIPT}"></script>
`
// Redoc breaks the names in the first column of a table anywhere, such as `operat` and `or`. On white, its colours for GET and PATCH
// have a contrast of 2.6 and 1.6 to 1; these have more than 4.5.
const style = `body { margin: 0; }
td:first-child code { overflow-wrap: normal; white-space: nowrap; word-break: normal; }
html:not(.dark) .tag-get.tag-get, html:not(.dark) .tag-get.tag-get * { color: #116329; }
html:not(.dark) .tag-patch.tag-patch, html:not(.dark) .tag-patch.tag-patch * { color: #7d4e00; }
`
const LOGO = /https:\/\/cdn\.redoc\.ly\/redoc\/[\w-]+\.svg/g
const NAME =
  '<svg xmlns="http://www.w3.org/2000/svg" width="38" height="14"><text y="11" font-family="sans-serif" font-size="11" fill="gray">Redoc</text></svg>'

function built(): string {
  const folder = mkdtempSync(join(tmpdir(), 'mintmark-reference-'))
  try {
    writeFileSync(
      join(folder, 'openapi.json'),
      JSON.stringify({ ...document, paths: Object.fromEntries(paths) }),
    )
    const command = ['build-docs', 'openapi.json', '--inlineBundle', '-o', 'page.html']
    const { status, stderr } = spawnSync(
      process.execPath,
      [join(redocly, 'bin/cli.js'), ...command, '--openapi', JSON.stringify(options)],
      { cwd: folder, env: { ...process.env, REDOCLY_TELEMETRY: 'off' }, encoding: 'utf8' },
    )
    if (status !== 0) throw new Error(`redocly build-docs failed:\n${stderr}`)
    return readFileSync(join(folder, 'page.html'), 'utf8')
  } finally {
    rmSync(folder, { recursive: true })
  }
}

const [, script = ''] = /<script type="module">(.*)<\/script>\s*<\/body>/s.exec(built()) ?? []
if (!script.includes('"disableTelemetry":true') || !LOGO.test(script))
  throw new Error('redocly build-docs wrote an unexpected page: read it before you change this script')
mkdirSync(REFERENCE_FOLDER, { recursive: true })
writeFileSync(join(REFERENCE_FOLDER, 'index.html'), page)
writeFileSync(join(REFERENCE_FOLDER, 'reference.css'), style)
writeFileSync(
  join(REFERENCE_FOLDER, 'reference.js'),
  script.replaceAll(LOGO, `data:image/svg+xml,${encodeURIComponent(NAME)}`),
)
for (const notice of ['LICENSE', 'THIRD_PARTY_NOTICES'])
  copyFileSync(join(redocly, notice), join(REFERENCE_FOLDER, notice))
console.log('dist/reference')
