/**
 * Preloaded into a replica (`--import`): each SIGUSR2 sets the host's clock, as the replica reads it, an hour forward,
 * then two hours back, then right again.
 */
const JUMPS_MS = [3_600_000, -7_200_000, 3_600_000]

const right = Date.now
let [aheadMs, jumps] = [0, 0]
Date.now = () => right() + aheadMs
globalThis.Date = new Proxy(Date, {
  construct: (target, given, newTarget) =>
    Reflect.construct(target, given.length > 0 ? given : [Date.now()], newTarget),
})
process.on('SIGUSR2', () => {
  aheadMs += JUMPS_MS[jumps++ % JUMPS_MS.length] ?? 0
})

export {}
