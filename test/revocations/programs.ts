import { execFileSync } from 'node:child_process'
import { findEnvoy } from '../gateway-configs/envoy.ts'
import { missingPrograms } from '../istiod/programs.ts'
import type { Part } from './options.ts'

/** Why these parts cannot run; undefined when they can. */
export function lackingPrograms(parts: readonly Part[]): string | undefined {
  if (!findEnvoy()) return 'there is no Envoy: run `bash scripts/install-gateways.sh`'
  if (!isInstalled('wrk')) return 'there is no wrk: run `bash scripts/install-test-tools.sh`'
  return parts.includes('istio') ? missingPrograms() : undefined
}

function isInstalled(program: string): boolean {
  try {
    execFileSync('which', [program], { stdio: 'ignore' })
    return true
  } catch {
    return false
  }
}
