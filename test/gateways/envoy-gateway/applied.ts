import { createHash } from 'node:crypto'
import { deployFiles } from '../../../src/gateway/deploy-files.ts'

/** The files of deploy/envoy-gateway as they are generated now: path → content. */
export const appliedFiles = (): Record<string, string> =>
  Object.fromEntries(
    Object.entries(deployFiles()).filter(([path]) => path.startsWith('deploy/envoy-gateway/')),
  )

/** Tells whether a record was made from these files. */
export const digestOf = (files: Record<string, string>): string =>
  createHash('sha256').update(JSON.stringify(files)).digest('hex')
