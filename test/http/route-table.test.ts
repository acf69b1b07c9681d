import type { ServerResponse } from 'node:http'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { answerJson, headerList } from '../../src/http/answer.ts'
import { Listener } from '../../src/http/listener.ts'
import { type Handler, type Route, routeTable } from '../../src/http/route-table.ts'
import { systemClock } from '../../src/system/clock.ts'
import { createLogger } from '../../src/system/logger.ts'
import { systemRandom } from '../../src/system/random.ts'
import { rawHttp } from '../support/raw-http.ts'

const say =
  (text: string): Handler =>
  (_req, res, param) =>
    answer(res, 200, { text, param })

const answer = (res: ServerResponse, status: number, body: object): undefined => {
  answerJson(res, status, JSON.stringify(body), headerList())
}

const ROUTES: Route[] = [
  { methods: ['GET'], path: '/one', handle: say('get one') },
  { methods: ['POST'], path: '/one', handle: say('post one') },
  { methods: ['GET'], path: '/keys/{id}.pem', handle: say('pem') },
  { methods: ['GET'], path: '/keys/all.pem', handle: say('all') },
  { methods: ['GET', 'DELETE'], path: '/keys/{id}/state', handle: say('state') },
  { path: '/any{/*}', handle: say('any') },
  // A possible path of an issuer.
  { methods: ['GET'], path: '/literal/:x/*/(y)+', handle: say('literal') },
  {
    methods: ['GET'],
    path: '/throws',
    handle: () => {
      throw new Error('at once')
    },
  },
  { methods: ['GET'], path: '/rejects', handle: () => Promise.reject(new Error('later')) },
  {
    methods: ['GET'],
    path: '/own',
    handle: () => Promise.reject(new Error('mine')),
    refuse: (thrown, res) => void answer(res, 418, { own: (thrown as Error).message }),
  },
  {
    methods: ['GET'],
    path: '/half',
    handle: async (_req, res) => {
      res.writeHead(200, { 'Content-Length': '100' }).write('half')
      throw new Error('too late')
    },
  },
]

let listener: Listener
const lines: string[] = []
const durations: string[] = []
beforeAll(async () => {
  listener = await Listener.bind('public', { host: '127.0.0.1', port: 0 }, systemClock, {
    most: { total: 100, ofOneSource: 100 },
    sourceOf: address => address,
    isProxy: () => false,
    logger: createLogger('silent'),
  })
  const table = routeTable({
    routes: ROUTES,
    readiness: { ready: true, serving: true, reason: '' },
    refuse: (thrown, res) => {
      const { message, status = 500, headers } = thrown as Error & { status?: number; headers?: object }
      answer(res, status, { message, allow: (headers as { Allow?: string } | undefined)?.Allow })
    },
    hint: 'Look elsewhere',
  })
  listener.serve(table, {
    logger: createLogger('info', { write: line => void lines.push(line) }),
    random: systemRandom,
    noteDuration: (_listener, route, status) => void durations.push(`${route} ${status}`),
    trusts: () => false,
  })
})
afterAll(() => listener.close(0, 0))

async function ask(method: string, path: string) {
  const bytes = `${method} ${path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n`
  const { status, text: latin1 } = await rawHttp(`http://127.0.0.1:${listener.address?.port}`, bytes)
  const text = Buffer.from(latin1, 'latin1').toString('utf8')
  const body = text.slice(text.indexOf('\r\n\r\n') + 4)
  return { status, body: body.startsWith('{') ? JSON.parse(body) : body }
}

describe('a route is found by its path as sent', () => {
  it.each([
    ['GET', '/one', 'get one', ''],
    ['POST', '/one', 'post one', ''],
    ['GET', '/one?two=/three', 'get one', ''],
    ['GET', '/keys/a.pem', 'pem', 'a'],
    ['GET', '/keys/a.pem.pem', 'pem', 'a.pem'],
    ['GET', '/keys/a%2Fb%20%C3%A9.pem', 'pem', 'a/b é'],
    ['GET', '/keys/all.pem', 'all', ''],
    ['GET', '/keys/a/state', 'state', 'a'],
    ['DELETE', '/keys/a/state', 'state', 'a'],
    ['PROPFIND', '/any', 'any', ''],
    ['GET', '/any/', 'any', ''],
    ['POST', '/any/of//them/%zz?x', 'any', ''],
    ['GET', '/literal/:x/*/(y)+', 'literal', ''],
  ])('%s %s', async (method, path, text, param) => {
    expect(await ask(method, path)).toEqual({ status: 200, body: { text, param } })
  })

  it.each([
    '/',
    '/one/',
    '/One',
    '/%6fne',
    '//one',
    '/keys/.pem',
    '/keys/a/b.pem',
    '/keys/a.PEM',
    '/keys/a%2Epem',
    '/keys//state',
    '/keys/state',
    '/anyone',
    '/any%2f',
    '/literal/z/*/(y)+',
    '/literal/:x/',
    '/one#two',
  ])('and not by another: %s', async path => {
    const message = 'Not found. Look elsewhere.'
    expect(await ask('GET', path)).toEqual({ status: 404, body: { message } })
  })

  it('an invalid escape in a parameter is 400', async () => {
    for (const id of ['%', '%zz', '%C3%28'])
      expect(await ask('GET', `/keys/${id}.pem`)).toEqual({
        status: 400,
        body: { message: 'The request is malformed.' },
      })
  })
})

it.each([
  ['/one', 'PUT', 'GET, POST, HEAD'],
  ['/keys/a.pem', 'POST', 'GET, HEAD'],
  ['/keys/a/state', 'OPTIONS', 'GET, DELETE, HEAD'],
])('another method on %s is 405, with the methods of all its routes', async (path, method, allow) => {
  const message = `Method not allowed. Use ${allow}.`
  expect(await ask(method, path)).toEqual({ status: 405, body: { message, allow } })
})

describe('what a handler throws', () => {
  it.each([
    ['/throws', 500, { message: 'at once' }],
    ['/rejects', 500, { message: 'later' }],
    ['/own', 418, { own: 'mine' }],
  ])('is answered by its route, or else by the table: %s', async (path, status, body) => {
    expect(await ask('GET', path)).toEqual({ status, body })
  })

  it('after the response has begun, the connection is cut, so that no client takes a part for the whole', async () => {
    const { body } = await ask('GET', '/half')
    expect(body).toBe('half')
  })
})

it('logs and metrics name the pattern, never the path', async () => {
  lines.length = 0
  durations.length = 0
  for (const path of ['/keys/a.pem', '/keys/%zz.pem', '/any/b', '/nope', '/half']) await ask('GET', path)
  await ask('PUT', '/one')
  const expected = [
    '/keys/:id.pem 200',
    '/keys/:id.pem 400',
    '/any 200',
    'unmatched 404',
    '/half 499',
    '/one 405',
  ]
  expect(durations).toEqual(expected)
  expect(lines.map(line => JSON.parse(line)).map(({ route, status }) => `${route} ${status}`)).toEqual(
    expected,
  )
})
