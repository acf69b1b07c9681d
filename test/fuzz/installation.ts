import { readFile, writeFile } from 'node:fs/promises'
import type { Environment } from '../faults/environment/environment.ts'
import { ADMIN_HEADERS } from '../faults/environment/replica.ts'

/** An installation that matches the examples of docs/openapi.json, and its addresses. */
export interface Installation {
  adminUrl: string
  authorization: string
  /** The committed document, with existing ids in place of unpredictable ones. */
  documentFile: string
  /** Log lines that report an internal error. */
  faults(): string[]
}

const DOCUMENT = new URL('../../docs/openapi.json', import.meta.url)

/** Postgres and one process of the service, with objects of every kind. The document is written to `folder`. */
export async function installation(environment: Environment, folder: string): Promise<Installation> {
  const postgres = await environment.postgres()
  const replica = await environment.replica(postgres.applicationUrl(), {
    MINTMARK_ADMIN_FAILURES_PER_MINUTE: '1000000',
  })
  const ids = new Map<string, string>()
  const make = async (method: string, path: string, body: object) => {
    const answer = await replica.admin(method, path, body)
    if (answer.status !== 200 && answer.status !== 201) throw new Error(`${method} ${path}: ${answer.text}`)
    return answer.body
  }
  await make('PUT', '/models/llama-3-8b', {})
  await make('PUT', '/adapters/acme-sql', { base_model: 'llama-3-8b' })
  await make('POST', '/tenants', { id: 'acme', tier: 'premium', adapters: ['acme-sql'] })
  const key = await make('POST', '/tenants/acme/keys', { name: 'ci', labels: { team: 'ml' } })
  const token = await make('POST', '/admin-tokens', { role: 'auditor' })
  const { data } = (await replica.admin('GET', '/signing-keys')).body
  ids.set('key_7Hq2kd9XwP3mZt5B', key.id)
  ids.set('sec_4Rk8Lm2QvT9cXb7N', key.secret_id)
  ids.set('adm_2Vb6Nc4RtY8wQk3Z', token.id)
  ids.set('NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs', data[0].kid)
  const text = [...ids].reduce(
    (document, [shown, real]) => document.replaceAll(shown, real),
    await readFile(DOCUMENT, 'utf8'),
  )
  const documentFile = `${folder}/openapi.json`
  await writeFile(documentFile, text)
  const lines = () => replica.process.output().split('\n')
  return {
    adminUrl: replica.urls.admin,
    authorization: ADMIN_HEADERS.authorization,
    documentFile,
    faults: () =>
      lines().filter(
        line => /"level":"?(error|fatal|50|60)/.test(line) && !isLate(line) && !hasNoIssuer(line),
      ),
  }
}

/** Of a request that was 503, because Postgres did not answer in time: test/fuzz/verdict.ts counts those. */
const isLate = (line: string) => /"msg":"request"/.test(line) && /"status":503/.test(line)

/** The fuzzer makes identity providers, whose issuers do not exist and whose keys are alike: alarms, and no fault of Mintmark. */
const hasNoIssuer = (line: string) => /"alarm":"identity-/.test(line)
