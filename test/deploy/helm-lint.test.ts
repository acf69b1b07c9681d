import { expect, it } from 'vitest'
import { INSTALLED, MODES } from '../cluster/modes.ts'
import { helm, lacksHelm } from './helm.ts'

it.skipIf(lacksHelm()).each(Object.entries({ ...MODES, INSTALLED }))(
  'helm lint has nothing to say about the mode %s of the cluster suite',
  (_, values) => {
    const { ok, output } = helm(['lint', '--strict'], values)
    expect(output).not.toMatch(/WARNING|ERROR/)
    expect(ok).toBe(true)
  },
)
