import type { Config } from '../config/config.ts'
import type { ChangeFollower } from '../database/change-follower.ts'
import type { CurrentPolicy } from '../installation/current-policy.ts'
import type { PauseWatch } from '../system/pause-watch.ts'
import type { AdministrationParts } from './administration.ts'
import type { AuthenticationParts } from './authentication.ts'
import type { DirectoryParts } from './directory.ts'
import type { GatewayAuthorizerParts } from './gateway-authorizer.ts'
import type { RememberedParts } from './remembered-refusals.ts'
import type { SigningParts } from './signing.ts'
import type { SnapshotParts } from './snapshots.ts'
import type { Storage, System } from './storage.ts'
import type { TrustParts } from './trust.ts'
import type { UsageParts } from './usage.ts'

/** The objects of a running Mintmark in groups. A consumer picks the groups that it needs. */
export interface Parts {
  config: Config
  system: System
  storage: Storage
  issuer: string
  follower: ChangeFollower
  trust: TrustParts
  snapshots: SnapshotParts
  policy: CurrentPolicy
  directory: DirectoryParts
  signing: SigningParts
  authentication: AuthenticationParts
  administration: AdministrationParts
  gateway: GatewayAuthorizerParts
  pauses: PauseWatch
  usage: UsageParts
  remembered: RememberedParts
}
