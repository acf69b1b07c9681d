import { until } from '../test/support/until.ts'
import type { ServerProcess } from './process.ts'

/** A call of the Chrome DevTools protocol, which Node serves after SIGUSR1. */
export type Inspect = <T>(method: string, params?: object) => Promise<T>

/** Inspects a running server that was started without any option for it. */
export async function inspect<T>(server: ServerProcess, work: (call: Inspect) => Promise<T>): Promise<T> {
  process.kill(server.pid, 'SIGUSR1')
  const url = () => [...server.complaints().matchAll(/Debugger listening on (ws:\S+)/g)].at(-1)?.[1]
  const socket = new WebSocket((await until('the inspector listens', url)) ?? '')
  await new Promise((resolve, reject) => {
    socket.addEventListener('open', resolve)
    socket.addEventListener('error', reject)
  })
  let calls = 0
  const waiting = new Map<number, (result: never) => void>()
  socket.addEventListener('message', ({ data }) => {
    const { id, result } = JSON.parse(data)
    waiting.get(id)?.(result as never)
    waiting.delete(id)
  })
  const call: Inspect = (method, params = {}) =>
    new Promise(resolve => {
      waiting.set(++calls, resolve)
      socket.send(JSON.stringify({ id: calls, method, params }))
    })
  try {
    return await work(call)
  } finally {
    socket.close()
  }
}

/** Bytes on the heap after a full collection, and bytes of the process. */
export function memory(server: ServerProcess): Promise<{ heapBytes: number; residentBytes: number }> {
  return inspect(server, async call => {
    await call('HeapProfiler.collectGarbage')
    const { result } = await call<{ result: { value: number } }>('Runtime.evaluate', {
      expression: 'process.memoryUsage().heapUsed',
    })
    return { heapBytes: result.value, residentBytes: server.residentBytes() }
  })
}
