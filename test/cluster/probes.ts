import { request } from 'node:http'
import { setTimeout as sleep } from 'node:timers/promises'
import type { KubernetesObject } from './cluster-api.ts'

/** One result of a probe over HTTP: true for 200 to 399 within its time. */
export function probeOnce(
  probe: KubernetesObject,
  container: KubernetesObject,
  address: string,
): Promise<boolean> {
  const { path, port } = probe.httpGet
  const number =
    typeof port === 'number'
      ? port
      : container.ports.find(({ name }: { name: string }) => name === port).containerPort
  return new Promise(resolve => {
    const timeout = (probe.timeoutSeconds ?? 1) * 1_000
    const sent = request({ host: address, port: number, path, agent: false, timeout }, answer => {
      answer.resume()
      const { statusCode = 0 } = answer
      resolve(statusCode >= 200 && statusCode < 400)
    })
    sent.once('timeout', () => sent.destroy())
    sent.once('error', () => resolve(false))
    sent.end()
  })
}

/** Repeats a probe, and calls `changed` when it begins to pass or has failed as often as it may. Ends when `isOver` says so. */
export async function probeAll(
  probe: KubernetesObject,
  container: KubernetesObject,
  address: string,
  isOver: () => boolean,
  changed: (passes: boolean) => void,
): Promise<void> {
  let failures = 0
  let last: boolean | undefined
  while (!isOver()) {
    const passed = await probeOnce(probe, container, address)
    if (isOver()) return
    failures = passed ? 0 : failures + 1
    const result = passed || (failures >= (probe.failureThreshold ?? 3) ? false : last)
    if (result !== undefined && result !== last) changed(result)
    last = result
    await sleep((probe.periodSeconds ?? 10) * 1_000)
  }
}
