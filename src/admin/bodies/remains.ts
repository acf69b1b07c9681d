import type { ZodType } from 'zod'
import type { Description } from '../description.ts'
import {
  adminTokenBody,
  issuedAdminTokenBody,
  reissuedAdminTokenBody,
  revokedAdminTokenBody,
} from './admin-token-body.ts'
import { issuedKeyBody, keyBody, reissuedKeyBody } from './key-body.ts'
import { signingKeyBody } from './signing-key-body.ts'
import { tenantBody } from './tenant-body.ts'

const OBJECTS = new Map<unknown, ZodType>([
  [tenantBody, tenantBody],
  [keyBody, keyBody],
  [issuedKeyBody, reissuedKeyBody],
  [issuedAdminTokenBody, reissuedAdminTokenBody],
  [revokedAdminTokenBody, adminTokenBody],
  [signingKeyBody, signingKeyBody],
])

/**
 * What is left of an operation's answer when it was lost and its request comes again: the object as it is now.
 * Undefined where the answer is no object that can be read again.
 */
export const remainsOf = ({ answers }: Description): ZodType | undefined =>
  OBJECTS.get(answers[201]) ?? OBJECTS.get(answers[200])
