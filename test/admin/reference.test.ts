import { execFile } from 'node:child_process'
import { existsSync } from 'node:fs'
import { mkdtemp, rmdir } from 'node:fs/promises'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { delimiter, join } from 'node:path'
import { promisify } from 'node:util'
import express, { type ErrorRequestHandler } from 'express'
import { type Browser, chromium, type Page } from 'playwright-core'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { mountReference } from '../../src/admin/openapi/mount-reference.ts'
import { request, startTestService, type TestService } from '../support/test-service.ts'

let mintmark: TestService
let admin: string
beforeAll(async () => {
  const built = promisify(execFile)(process.execPath, ['scripts/build-reference.ts'])
  mintmark = await startTestService()
  admin = mintmark.service.urls.admin
  await built
}, 120_000)
afterAll(() => mintmark.stop())

describe('The admin listener', () => {
  it('serves the document without authentication', async () => {
    const { status, headers, body } = await request(`${admin}/admin/openapi.json`)
    expect([status, headers.get('content-type')]).toEqual([200, 'application/json; charset=utf-8'])
    expect(body).toMatchObject({ openapi: '3.1.1', info: { title: 'Mintmark admin API' } })
  })

  it.each(['/admin/openapi.json', '/admin/reference', '/admin/reference.css', '/admin/reference.js'])(
    'reads %s only',
    async path => {
      const { status, headers, body } = await request(`${admin}${path}`, { method: 'POST' })
      expect([status, headers.get('allow'), body.code]).toEqual([405, 'GET, HEAD', 'method_not_allowed'])
    },
  )

  it('is the only one that has the reference', async () => {
    for (const url of [
      mintmark.service.urls.public,
      mintmark.service.urls.gateway,
      mintmark.service.urls.ops,
    ]) {
      expect((await request(`${url}/admin/reference`)).status).not.toBe(200)
      expect((await request(`${url}/admin/openapi.json`)).status).not.toBe(200)
    }
  })
})

const program = (process.env.PATH ?? '')
  .split(delimiter)
  .flatMap(folder => ['chromium', 'chromium-browser', 'google-chrome'].map(name => join(folder, name)))
  .find(file => existsSync(file))
const insisted = process.env.MINTMARK_REQUIRE_GATEWAYS === '1'

describe('The reference page', () => {
  it('allows its own script and style sheet, and no request of the script', async () => {
    const { headers } = await request(`${admin}/admin/reference`)
    expect(headers.get('content-security-policy')?.split('; ')).toEqual([
      "default-src 'none'",
      "script-src 'self'",
      "style-src 'self' 'sha256-47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU='",
      "style-src-attr 'unsafe-inline'",
      'img-src data:',
      'font-src data:',
      "base-uri 'none'",
      "form-action 'none'",
      "frame-ancestors 'none'",
    ])
  })

  it('says how it is built where it is not', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'mintmark-unbuilt-'))
    const app = express()
    mountReference(app, [], folder)
    const shown: ErrorRequestHandler = (error, _req, res, _next) =>
      void res.status(error.status).json({ detail: error.message })
    app.use(shown)
    const server = createServer(app)
    await new Promise<void>(resolve => void server.listen(0, '127.0.0.1', resolve))
    const { port } = server.address() as AddressInfo
    const { status, body } = await request(`http://127.0.0.1:${port}/admin/reference`)
    expect([status, body.detail]).toEqual([
      404,
      'The reference page is not built. Run "npm run reference", then reload. /admin/openapi.json describes the admin API for programs.',
    ])
    await new Promise(resolve => server.close(resolve))
    await rmdir(folder)
  })
})

describe.skipIf(!program && !insisted)(
  'The reference page, in Chromium (without one this is skipped)',
  () => {
    let browser: Browser
    let page: Page
    const asked = new Set<string>()
    const complaints: string[] = []
    beforeAll(async () => {
      if (!program) throw new Error('there is no chromium: run `bash scripts/install-test-tools.sh`')
      // Root has no sandbox to give up, and this page is ours.
      browser = await chromium.launch({ executablePath: program, args: ['--no-sandbox', '--disable-gpu'] })
      page = await browser.newPage({ viewport: { width: 1280, height: 900 } })
      page.on('request', request => void asked.add(request.url().replace(/#.*/, '')))
      page.on('pageerror', error => void complaints.push(error.message))
      page.on('console', message => {
        if (['error', 'warning'].includes(message.type())) complaints.push(message.text())
      })
      await page.goto(`${admin}/admin/reference`)
      await page.getByRole('heading', { name: /^Mintmark API reference/ }).waitFor()
    })
    afterAll(() => browser?.close())

    interface Described {
      tags: [string]
      operationId: string
      summary: string
    }
    const operations = async (): Promise<Described[]> => {
      const { paths } = (await request(`${admin}/admin/openapi.json`)).body
      return Object.values<Record<string, Described>>(paths).flatMap(methods => Object.values(methods))
    }
    const fragment = ({ tags, operationId }: Described) => `#/${tags[0]}/${operationId.toLowerCase()}`
    const open = async (operation: Described) => {
      await page.goto(`${admin}/admin/reference${fragment(operation)}`)
      await page.locator('h2', { hasText: operation.summary }).first().waitFor()
    }

    it('has every operation in its menu, in the order of the document', { timeout: 60_000 }, async () => {
      const groups = [...new Set((await operations()).map(({ tags }) => tags[0]))]
      for (const group of groups) {
        await page.locator(`.menu-content a[href="#/${group}"]`).click()
        await page.locator(`.menu-content a[href^="#/${group}/"]`).first().waitFor()
        const shown = await page
          .locator(`.menu-content a[href^="#/${group}/"]`)
          .evaluateAll(links => links.map(link => link.getAttribute('href')))
        const described = (await operations()).filter(({ tags }) => tags[0] === group)
        expect(shown).toEqual(described.map(fragment))
      }
      expect(groups.length).toBeGreaterThan(5)
    })

    it('shows what an operation takes, needs and answers', { timeout: 60_000 }, async () => {
      const create = (await operations()).find(({ operationId }) => operationId === 'createKey')
      if (!create) throw new Error('there is no operation createKey')
      await open(create)
      const text = await page.locator('body').innerText()
      for (const part of ['/admin/v1/tenants/{tenant}/keys', 'keys:write', 'Idempotency-Key', 'expires_at'])
        expect(text).toContain(part)
      expect(text).toContain('curl -X POST "$MINTMARK_URL/admin/v1/tenants/acme/keys"')
    })

    it('finds an operation by its words', { timeout: 60_000 }, async () => {
      await page.getByTestId('search-trigger').click()
      await page.keyboard.type('signing-keys rotate')
      await page.getByText('/admin/v1/signing-keys/rotate').first().waitFor()
      await page.keyboard.press('Escape')
    })

    it('fits on a telephone without scrolling sideways', { timeout: 60_000 }, async () => {
      const [operation] = await operations()
      await page.setViewportSize({ width: 390, height: 800 })
      if (operation) await open(operation)
      const [scrolls, wide] = (await page.evaluate(
        '[document.documentElement.scrollWidth, document.documentElement.clientWidth]',
      )) as number[]
      expect(scrolls).toBe(wide)
    })

    it('has asked nobody but this listener by now, and complained of nothing', () => {
      expect([...asked]).toEqual(['', '.css', '.js'].map(extension => `${admin}/admin/reference${extension}`))
      expect(complaints).toEqual([])
    })
  },
)
