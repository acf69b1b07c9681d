import { startNginx } from './nginx.ts'
import { isAbsent, newerProgram } from './program.ts'
import { checkRequestLimits } from './request-limits.ts'

checkRequestLimits('deploy/nginx/nginx-limits.conf', {
  absent: isAbsent(newerProgram('nginx')),
  start: (behind, clock) => startNginx(behind, [], clock),
  takesKeys: true,
})
