import { serve } from './cli/commands/serve.ts'

/** `npm start`. */
await serve(process.env)
