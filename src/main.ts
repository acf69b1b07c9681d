import { ConfigError } from './config/env.ts'
import { launch } from './launch.ts'
import { createLogger } from './system/logger.ts'

/** `npm start`: configuration → service → listen; on SIGTERM or SIGINT → drain, exit 0. */

const logger = createLogger(process.env.LOG_LEVEL ?? 'info')

try {
  const launched = await launch(process.env, { logger, onProgress: message => logger.info(message) })
  for (const signal of ['SIGTERM', 'SIGINT'] as const) {
    process.on(signal, () => {
      launched.stop().then(
        () => process.exit(0),
        err => {
          logger.fatal({ err }, 'could not stop cleanly')
          process.exit(1)
        },
      )
    })
  }
} catch (error) {
  // What the operator can cure is said plainly; a stack is for what nobody foresaw.
  if (error instanceof ConfigError) process.stderr.write(`${error.message}\n`)
  else logger.fatal({ err: error }, 'could not start')
  process.exit(1)
}
