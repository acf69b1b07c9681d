import { isDeepStrictEqual } from 'node:util'
import { type AdminClient, path } from '../admin-client.ts'
import { CliError, EXIT } from '../exit-codes.ts'
import type { DeclaredObject } from './declared-set.ts'
import type { Fields } from './kinds.ts'
import { forSet, type Run, type Step } from './step.ts'

/** Finds the id of an identity provider by its name in the set. */
export type ProviderId = (name: string) => string | undefined

/**
 * Adds the declared credentials that a key lacks, then deletes those that are not declared: a workload whose rule changes is
 * never without one. `live`: the key; absent: it is created before.
 * @throws {CliError} for a provider that is neither declared nor in the set
 */
export async function credentialSteps(
  admin: AdminClient,
  key: DeclaredObject,
  live: Fields | undefined,
  providers: { id: ProviderId; isDeclared: (name: string) => boolean },
): Promise<Step[]> {
  const declared: Fields[] = key.document.fields.credentials
  for (const [index, { provider }] of declared.entries()) {
    if (provider === undefined || providers.isDeclared(provider) || providers.id(provider)) continue
    const at = key.document.at(`/credentials/${index}/provider`)
    throw new CliError(
      EXIT.usage,
      `${at}: provider names an identity provider that the files and the set do not have: "${provider}".`,
    )
  }
  const existing = live ? (await admin.get<{ data: Fields[] }>(path`/keys/${live.id}/credentials`)).data : []
  const resolved = (credential: Fields): Fields =>
    credential.provider === undefined
      ? credential
      : { ...credential, provider: providers.id(credential.provider) ?? credential.provider }
  const missing = declared.filter(one => !existing.some(other => isSame(resolved(one), other)))
  const surplus = existing.filter(one => !declared.some(other => isSame(resolved(other), one)))
  return [
    ...missing.map(credential => additionStep(key, credential, live)),
    ...surplus.map(credential => removalStep(key, credential, live)),
  ]
}

/** `stored` has what the service adds, too. */
const isSame = (declared: Fields, stored: Fields): boolean =>
  Object.entries(declared).every(([field, value]) => isDeepStrictEqual(value, stored[field]))

const idOf = (run: Run, kind: string, name: string): string | undefined => run.ids.get(`${kind} ${name}`)

function additionStep(
  { name, document }: DeclaredObject,
  credential: Fields,
  live: Fields | undefined,
): Step {
  return {
    action: 'create',
    kind: 'credential of key',
    name,
    changes: [{ field: credential.type, from: undefined, to: shown(credential) }],
    notes: [],
    document,
    perform: async run => {
      const { provider } = credential
      const id = provider === undefined ? undefined : idOf(run, 'identity-provider', provider)
      const body = { ...credential, ...(id !== undefined && { provider: id }) }
      const key = live?.id ?? idOf(run, 'key', name)
      await run.admin.with(forSet(run, name)).post(path`/keys/${key}/credentials`, body)
    },
  }
}

function removalStep({ name, document }: DeclaredObject, credential: Fields, live: Fields | undefined): Step {
  return {
    action: 'delete',
    kind: 'credential of key',
    name,
    changes: [{ field: credential.type, from: shown(credential), to: undefined }],
    notes: [`${credential.id} is not accepted any more`],
    document,
    perform: async run =>
      run.admin.with(forSet(run, name)).delete(path`/keys/${live?.id}/credentials/${credential.id}`),
  }
}

/** A long value is cut at its end: the short fields come first. */
const shown = ({ provider, allow_untrusted_events, subject, claims, single_use, jwks }: Fields) =>
  jwks ? { single_use, jwks } : { provider, allow_untrusted_events, subject, claims }
