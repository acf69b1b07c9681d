import { CliError, EXIT } from '../../exit-codes.ts'
import { kubeconfigAccess, podAccess } from '../../sync/kubernetes-access.ts'
import { KubernetesApi } from '../../sync/kubernetes-api.ts'
import type { DeclaredObject, DeclaredSet } from '../declared-set.ts'
import type { Destination } from './destination.ts'
import { SecretFile } from './secret-file.ts'
import { SecretObject } from './secret-object.ts'

/** How secrets may be written: options of the command. */
export interface SecretOptions {
  writeSecret?: true
  secretFolder?: string
  kubeconfig?: string
  context?: string
}

/**
 * Where the secrets of keys of the set belong, by the name of the key.
 * @throws {CliError} for a place that is not allowed, or is of two keys
 */
export async function destinations(
  environment: NodeJS.ProcessEnv,
  set: DeclaredSet,
  options: SecretOptions,
): Promise<Map<string, Destination>> {
  const keys = set.objects.filter(({ document }) => document.fields.write_secret !== undefined)
  const faults = keys.flatMap(key => faultOf(set, key, options) ?? [])
  if (faults.length > 0)
    throw new CliError(EXIT.usage, 'secrets cannot be written there; nothing was changed:', faults)
  const isOfKubernetes = keys.some(({ document }) => document.fields.write_secret.kubernetes)
  const api = isOfKubernetes ? await kubernetes(environment, options) : undefined
  const found = new Map<string, Destination>()
  const titles = new Set<string>()
  for (const key of keys) {
    const { kubernetes: place, file } = key.document.fields.write_secret
    const owner = { set: set.name, key: key.name }
    const destination =
      place && api
        ? new SecretObject(api, place, owner)
        : new SecretFile(options.secretFolder ?? '', file, owner)
    if (titles.size === titles.add(destination.title).size)
      throw new CliError(
        EXIT.usage,
        `${key.document.at('/write_secret')}: two keys have ${destination.title}.`,
      )
    found.set(key.name, destination)
  }
  return found
}

function faultOf(set: DeclaredSet, { document }: DeclaredObject, options: SecretOptions): string | undefined {
  const { tenant, write_secret } = document.fields
  if (write_secret.file !== undefined) {
    const at = document.at('/write_secret/file')
    if (options.secretFolder === undefined)
      return `${at}: a file needs --secret-folder, the folder that it is in.`
    if (write_secret.file.startsWith(`${tenant}/`)) return undefined
    return `${at}: a key of the tenant ${tenant} may have its file only below ${tenant}/: write ${tenant}/${write_secret.file}.`
  }
  const { namespace } = write_secret.kubernetes
  if (set.allowedNamespaces[tenant]?.includes(namespace)) return undefined
  return `${document.at('/write_secret/kubernetes/namespace')}: the set does not allow the tenant ${tenant} the namespace ${namespace}: see allowed_namespaces of the set.`
}

async function kubernetes(environment: NodeJS.ProcessEnv, options: SecretOptions): Promise<KubernetesApi> {
  const access = options.kubeconfig
    ? await kubeconfigAccess(options.kubeconfig, options.context)
    : await podAccess(environment)
  return new KubernetesApi(access, undefined, 'docs/guides/apply.md')
}
