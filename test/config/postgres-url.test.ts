import fc from 'fast-check'
import pg from 'pg'
import { describe, expect, it } from 'vitest'
import { postgresUrl } from '../../src/config/postgres-url.ts'

describe('A database URL', () => {
  it.each([
    'postgres://user:password@db.example:5432/mintmark',
    'postgresql://user@db.example/mintmark',
    'postgres://user:p%40ss%2Fw%23rd@db.example/mintmark',
    'postgres://user:p@ss@db.example/mintmark',
    'postgres://user:pass:word@[::1]:5432/mintmark',
    'postgres://user:password@/mintmark?host=/cloudsql/project:region:instance',
    'postgres:///mintmark?host=/var/run/postgresql&user=mintmark&password=secret',
    'postgres://user:password@%2Fvar%2Frun%2Fpostgresql/mintmark',
    'postgres://user:password@db.example/mintmark?sslmode=verify-full&sslrootcert=/etc/ca.pem',
    'postgres://user@db.example/mintmark?sslmode=verify-full&sslcert=/c.pem&sslkey=/k.pem',
    'postgres://user:password@ep-x.neon.tech/mintmark?sslmode=require&channel_binding=prefer',
    'postgres://user:password@db.example/mintmark?options=-c%20geqo%3Doff&application_name=x',
    'postgres://user:password@db.example/mint%20mark',
    'postgres://user:password@db.example/mint&mark=$',
    'postgres://user:password@db.example/m%C3%BCnze?port=6432',
    'postgres://user:password@db.example/mintmark?sslnegotiation=direct&sslmode=verify-full',
    'POSTGRES://user:password@[::ffff:10.0.0.3]/mintmark?',
  ])('is accepted as pg reads it: %s', url => {
    expect(postgresUrl(url).reveal()).toBe(url)
  })

  const refused: [string, RegExp][] = [
    ['mysql://user:5ecret@db.example/mintmark', /must be a URL like/],
    ['postgres:user:5ecret@db.example/mintmark', /must be a URL like/],
    ['postgres://user:12/5ecret@db.example/mintmark', /%2F, %40 or %3A/],
    ['postgres://user:12#5ecret@db.example/mintmark', /%23/],
    ['postgres://user:12?5ecret@db.example/mintmark', /no other parameters/],
    ['postgres://user:pa@12/5ecret@db.example/mintmark', /%2F, %40 or %3A/],
    ['postgres://user:5ecret%40db.example/mintmark', /must be a URL like/],
    ['postgres://user:5ecret%zz@db.example/mintmark', /%25/],
    ['postgres://user:5ecret%FF@db.example/mintmark', /%25/],
    ['postgres://user:5ecret one@db.example/mintmark', /a space/],
    ['postgres://db.example/mintmark?user=u&password=12&5ecret', /no other parameters/],
    ['postgres://db.example/mintmark?user=u&password=5+ecret', /%2B/],
    ['postgres://user:5ecret@one.example:5432,two.example:5432/mintmark', /must name one host/],
    ['postgres://user:5ecret@one.example,two.example/mintmark', /must name one host/],
    ['postgres://user:5ecret@/mintmark?host=one.example,two.example', /must name one host/],
    ['postgres://user:5ecret@one.example/mintmark?target_session_attrs=read-write', /must name one host/],
    ['postgres://user:5ecret@db.example/mintmark?sslmode=bogus', /verify-full/],
    ['postgres://user:5ecret@db.example/mintmark?sslmode=allow', /verify-full/],
    ['postgres://user:5ecret@db.example/mintmark?sslrootcert=system', /a file as sslrootcert/],
    ['postgres://user:5ecret@db.example/mintmark?sslcert=/c.pem', /both sslcert and sslkey/],
    [
      'postgres://user:5ecret@db.example/mintmark?uselibpqcompat=true&sslmode=verify-ca',
      /sslrootcert with sslmode=verify-ca/,
    ],
    ['postgres://user:5ecret@db.example/mintmark?uselibpqcompat=false', /true as uselibpqcompat/],
    ['postgres://user:5ecret@db.example/mintmark?query_timeout=5', /no other parameters/],
    ['postgres://user:5ecret@db.example/mintmark?channel_binding=require', /channel_binding/],
    ['postgres://user:5ecret@db.example/mintmark?sslmode=disable&sslmode=verify-full', /twice/],
    ['host=db.example user=user password=5ecret', /must be a URL like/],
    ['postgres://user:5ecret@db.example:99999/mintmark', /from 1 to 65535 as port/],
    ['postgres://user:5ecret@db.example:0/mintmark', /from 1 to 65535 as port/],
    ['postgres://user:5ecret@db.example/mintmark?port=99999', /from 1 to 65535 as port/],
    ['postgres://user:5ecret@db.example/mintmark?port=0', /from 1 to 65535 as port/],
    ['postgres://user:5ecret@db.example/mint%2Fmark', /pg decodes none of them: rename/],
    [
      'postgres://user:5ecret@db.example/mint%26mark',
      /& = \+ \$ , ; in the name of the database as they are/,
    ],
    ['postgres://user:5ecret%00@db.example/mintmark', /%00/],
    ['postgres://user:5ecret@db.example/mintmark?sslnegotiation=bogus', /postgres, direct/],
    [
      'postgres://user:5ecret@db.example/mintmark?sslnegotiation=direct&sslmode=disable',
      /with sslmode=disable/,
    ],
    ['postgres://user:5ecret@db.example/mintmark?channel_binding=bogus', /disable, prefer/],
    ['postgres://user:5ecret@db.example/mintmark?sslmode=', /verify-full/],
    ['postgres://user:5ecret@db.example/mintmark?service=production', /no other parameters/],
    ['postgres://user:5ecret@db.example/mintmark?passfile=/etc/pgpass', /no other parameters/],
    ['postgres://user:5ecret@db.example/mintmark?hostaddr=10.0.0.1', /no other parameters/],
    ['postgres://user:5ecret@db.example/mintmark?require_auth=scram-sha-256', /no other parameters/],
    ['postgres://user:5ecret@:5432/mintmark', /must be a URL like/],
    ['jdbc:postgresql://user:5ecret@db.example/mintmark', /must be a URL like/],
  ]
  it.each(refused)(
    'that pg would misread is refused with the cure, and nothing of it is shown: %s',
    (url, cure) => {
      let message = ''
      try {
        postgresUrl(url)
      } catch (error) {
        message = (error as Error).message
      }
      expect(message).toMatch(cure)
      expect(message).not.toMatch(/5ecret|12|ecret/)
    },
  )
})

describe('The password of a URL', () => {
  const SECRET = 'hunter2'
  /** What a person writes without percent-encoding, or with it. */
  const part = fc
    .array(
      fc.constantFrom(...'@:/?#%&=+,[] \\\n\t', '%40', '%2F', '%zz', '%FF', 'é', 'a', '1', 'host=', '//'),
      {
        maxLength: 5,
      },
    )
    .map(pieces => pieces.join(''))
  const mangled = fc
    .tuple(
      fc.constantFrom(
        'postgres://',
        'postgresql://',
        'POSTGRES://',
        'postgres:/',
        'postgres:',
        'mysql://',
        '',
      ),
      fc.constantFrom('u:', 'u@', ':', ''),
      part,
      part,
      fc.constantFrom('@db.example', '@db.example:5432', '@'),
      fc.constantFrom('/mintmark', '/', '', '/mintmark?sslmode=require', '?host=/run/postgresql'),
      part,
    )
    .map(([scheme, user, before, after, host, database, tail]) =>
      [scheme, user, before, SECRET, after, host, database, tail].join(''),
    )

  it('is in no message, and pg reads it as nothing else that Postgres and Node show', () => {
    let accepted = 0
    const check = (url: string) => {
      try {
        postgresUrl(url)
      } catch (error) {
        expect((error as Error).message).not.toContain(SECRET)
        return
      }
      // Written where the user is, it is the user.
      if (!/^\w+:\/\/[^:@/?]*:.*hunter2/.test(url)) return
      const { host, port, user, database } = new pg.Client({ connectionString: url })
      if (url.includes(`:${SECRET}`)) accepted++
      expect(JSON.stringify([host, port, database])).not.toContain(SECRET)
      if (/^\w+:\/\/u:/.test(url)) expect(user).not.toContain(SECRET)
    }
    fc.assert(fc.property(mangled, check), { numRuns: 5_000 })
    expect(accepted).toBeGreaterThan(0)
  })
})
