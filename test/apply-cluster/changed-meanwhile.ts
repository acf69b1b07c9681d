import { SecretObject } from '../../src/cli/apply/secrets/secret-object.ts'
import { kubeconfigAccess } from '../../src/cli/sync/kubernetes-access.ts'
import { KubernetesApi } from '../../src/cli/sync/kubernetes-api.ts'
import type { ControlPlane } from '../cluster/control-plane.ts'

/** The end of a Secret that someone else creates, changes or deletes after `apply` has read it and before it writes. */
export async function changedMeanwhile(
  { api }: ControlPlane,
  kubeconfig: string,
): Promise<Record<string, string>> {
  const kubernetes = new KubernetesApi(await kubeconfigAccess(kubeconfig))
  const all = '/api/v1/namespaces/acme-prod/secrets'
  const stringData = { 'api-key': 'of-someone-else' }
  const destination = (name: string) =>
    new SecretObject(
      kubernetes,
      { namespace: 'acme-prod', name, key: 'api-key' },
      { set: 'production', kind: 'key', name: 'acme/raced' },
    )
  const outcome = async (name: string, before: boolean, change: () => Promise<unknown>) => {
    if (before) {
      const first = destination(name)
      await first.find()
      await first.write('ours')
    }
    const late = destination(name)
    await late.find()
    await change()
    const written = await late.write('ours again').then(
      () => 'written',
      () => 'refused',
    )
    const left = await api.get(`${all}/${name}`).then(
      ({ data }) => Buffer.from(data['api-key'], 'base64').toString(),
      () => 'gone',
    )
    return `${written}, ${left}`
  }
  return {
    created: await outcome('created', false, () =>
      api.post(all, { metadata: { name: 'created' }, stringData }),
    ),
    changed: await outcome('changed', true, () => api.patch(`${all}/changed`, { stringData })),
    deleted: await outcome('deleted', true, () => api.remove(`${all}/deleted`)),
  }
}
