import { expect, it } from 'vitest'
import { findEnvoy, noEnvoy } from './envoy.ts'

it.skipIf(noEnvoy)('there is an Envoy to test with', () => {
  expect(findEnvoy()).toBeDefined()
})

if (noEnvoy) {
  console.warn(
    'test/gateways is skipped, because there is no Envoy: run `bash scripts/install-gateways.sh` once.',
  )
}
