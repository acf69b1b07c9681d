import { existsSync } from 'node:fs'
import { homedir } from 'node:os'
import { join } from 'node:path'

/** Where scripts/install-aws-cli.sh puts the command line of AWS. */
export const AWS_PROGRAMS = join(
  process.env.MINTMARK_CACHE ?? join(homedir(), '.cache', 'mintmark'),
  'aws/bin',
)

export const lacksAws = (): boolean => !existsSync(join(AWS_PROGRAMS, 'aws'))
