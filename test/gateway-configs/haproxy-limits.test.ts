import { startHaproxy } from './haproxy.ts'
import { isAbsent, newerProgram } from './program.ts'
import { checkRequestLimits } from './request-limits.ts'

checkRequestLimits('deploy/haproxy/haproxy-limits.cfg', {
  absent: isAbsent(newerProgram('haproxy')),
  start: (behind, clock) => startHaproxy(behind, [], '', clock),
  env: { MINTMARK_SIGNING_ALG: 'RS256' },
  takesKeys: false,
})
