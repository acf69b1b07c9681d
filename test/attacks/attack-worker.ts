import { getPriority, setPriority } from 'node:os'
import { type Assault, BUSY_CORE } from './attacker.ts'
import { HTTP_ATTACKS } from './attacks.ts'
import { GRPC_ATTACKS } from './grpc-attacks.ts'

const LOWER_BY = 10
const LOWEST = 19

setPriority(Math.min(LOWEST, getPriority() + LOWER_BY))

process.on('message', async ({ over, name, target, scale }: Assault) => {
  if (name === BUSY_CORE) {
    const end = performance.now() + scale.ms
    while (performance.now() < end);
    process.send?.([])
    return
  }
  const attack = (over === 'grpc' ? GRPC_ATTACKS : HTTP_ATTACKS).find(each => each.name === name)
  if (!attack) throw new Error(`there is no attack ${name}`)
  process.send?.(await attack.run(target, scale))
})
process.once('disconnect', () => process.exit())
process.send?.('ready')
