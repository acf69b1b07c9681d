import { expect, it } from 'vitest'
import { findEnvoy, noEnvoy } from './envoy.ts'

it.skipIf(noEnvoy)('an Envoy is installed for the tests', () => {
  expect(findEnvoy()).toBeDefined()
})
