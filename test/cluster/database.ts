import pg from 'pg'

/** The roles of db/README.md, none of them a superuser, and a database of the owner's. Returns the URLs of both. */
export async function createRoles(superuserUrl: string): Promise<{ application: string; owner: string }> {
  const client = new pg.Client({ connectionString: superuserUrl })
  await client.connect()
  try {
    await client.query(`CREATE ROLE mintmark_owner LOGIN PASSWORD 'owner'`)
    await client.query('CREATE ROLE mintmark_app NOLOGIN')
    await client.query(`CREATE ROLE mintmark LOGIN PASSWORD 'app' IN ROLE mintmark_app`)
    await client.query('CREATE DATABASE mintmark OWNER mintmark_owner')
  } finally {
    await client.end()
  }
  const url = (user: string, password: string) => {
    const own = new URL(superuserUrl)
    Object.assign(own, { username: user, password, pathname: '/mintmark' })
    return own.href
  }
  return { application: url('mintmark', 'app'), owner: url('mintmark_owner', 'owner') }
}
