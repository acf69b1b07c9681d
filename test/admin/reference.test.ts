import { existsSync } from 'node:fs'
import { delimiter, join } from 'node:path'
import { type Browser, chromium, type Page } from 'playwright-core'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { request, startTestService, type TestService } from '../support/test-service.ts'

let mintmark: TestService
let admin: string
beforeAll(async () => {
  mintmark = await startTestService()
  admin = mintmark.service.urls.admin
})
afterAll(() => mintmark.stop())

describe('The admin listener', () => {
  it('serves the document to whoever asks', async () => {
    const { status, headers, body } = await request(`${admin}/admin/openapi.json`)
    expect([status, headers.get('content-type')]).toEqual([200, 'application/json; charset=utf-8'])
    expect(body).toMatchObject({ openapi: '3.1.1', info: { title: 'Mintmark admin API' } })
  })

  it.each(['/admin/openapi.json', '/admin/reference', '/admin/reference.css'])(
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

describe.skipIf(!program && !insisted)(
  'The reference page, in Chromium (without one this is skipped)',
  () => {
    let browser: Browser
    let page: Page
    const asked: string[] = []
    const complaints: string[] = []
    beforeAll(async () => {
      if (!program) throw new Error('there is no chromium: run `bash scripts/install-judges.sh`')
      // Root has no sandbox to give up, and this page is ours.
      browser = await chromium.launch({ executablePath: program, args: ['--no-sandbox'] })
      page = await browser.newPage({ viewport: { width: 1280, height: 900 } })
      page.on('request', request => void asked.push(request.url()))
      page.on('console', message => void complaints.push(message.text()))
      await page.goto(`${admin}/admin/reference`, { waitUntil: 'networkidle' })
    })
    afterAll(() => browser?.close())

    it('asks nobody but this listener, and no more than it needs', async () => {
      expect(asked).toEqual([`${admin}/admin/reference`, `${admin}/admin/reference.css`])
      expect(complaints).toEqual([])
    })

    it('has no script, and could have none', async () => {
      const { headers } = await request(`${admin}/admin/reference`)
      expect(headers.get('content-security-policy')).toBe(
        "default-src 'none'; style-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
      )
      expect(await page.locator('script, iframe, img, style, [style], [onclick]').count()).toBe(0)
    })

    it('shows every operation, under its style sheet', async () => {
      const { paths } = (await request(`${admin}/admin/openapi.json`)).body
      const operations = Object.values<object>(paths).flatMap(methods => Object.values(methods))
      expect(await page.locator('section > article .place').count()).toBe(operations.length)
      expect(await page.evaluate('getComputedStyle(document.body).display')).toBe('grid')
    })

    it('leads nowhere that is not there', async () => {
      const links = await page
        .locator('a')
        .evaluateAll(all => all.map(link => link.getAttribute('href') ?? ''))
      const inPage = links.filter(link => link.startsWith('#'))
      const ids = await page.locator('[id]').evaluateAll(all => all.map(element => `#${element.id}`))
      expect(inPage.length).toBeGreaterThan(100)
      expect(inPage.filter(link => !ids.includes(link))).toEqual([])
      expect(new Set(links.filter(link => !link.startsWith('#')))).toEqual(new Set(['/admin/openapi.json']))
      expect(new Set(ids).size).toBe(ids.length)
    })

    it('fits on a telephone without scrolling sideways', async () => {
      await page.setViewportSize({ width: 390, height: 800 })
      const [scrolls, wide] = (await page.evaluate(
        '[document.documentElement.scrollWidth, document.documentElement.clientWidth]',
      )) as number[]
      expect(scrolls).toBe(wide)
    })
  },
)
