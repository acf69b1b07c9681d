import type { ZodType } from 'zod'
import type { RouteDocs } from '../route-docs.ts'
import {
  adminTokenBody,
  issuedAdminTokenBody,
  reissuedAdminTokenBody,
  revokedAdminTokenBody,
} from './admin-token-body.ts'
import { issuedKeyBody, keyBody, reissuedKeyBody } from './key-body.ts'
import { signingKeyBody } from './signing-key-body.ts'
import { tenantBody } from './tenant-body.ts'
import { tokenRevocationBody } from './token-revocation-body.ts'
import {
  issuedUsageReporterBody,
  reissuedUsageReporterBody,
  usageReporterBody,
} from './usage-reporter-body.ts'

const OBJECTS = new Map<unknown, ZodType>([
  [tenantBody, tenantBody],
  [keyBody, keyBody],
  [issuedKeyBody, reissuedKeyBody],
  [issuedAdminTokenBody, reissuedAdminTokenBody],
  [revokedAdminTokenBody, adminTokenBody],
  [signingKeyBody, signingKeyBody],
  [usageReporterBody, usageReporterBody],
  [issuedUsageReporterBody, reissuedUsageReporterBody],
  [tokenRevocationBody, tokenRevocationBody],
])

/**
 * Body of an idempotent replay whose stored response is gone: the object's current state. Undefined when the response
 * is not an object that can be read again.
 */
export const replayBodyOf = ({ answers }: RouteDocs): ZodType | undefined =>
  OBJECTS.get(answers[201]) ?? OBJECTS.get(answers[200])
