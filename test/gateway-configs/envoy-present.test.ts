import { expect, it } from 'vitest'
import { findEnvoy, noEnvoy } from './envoy.ts'

it.skipIf(noEnvoy)('there is an Envoy to test with', () => {
  expect(findEnvoy()).toBeDefined()
})
