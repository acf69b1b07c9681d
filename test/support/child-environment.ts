/**
 * The environment of a process that a test starts: nothing of our own but the PATH, the time zone, and what vitest.config.ts
 * names: the temporary folder of the run, and the place where Node keeps compiled code, with which a process needs a third of the
 * time to start.
 */
export function childEnvironment(env: Record<string, string> = {}): Record<string, string> {
  const { PATH = '', TZ, TMPDIR, NODE_COMPILE_CACHE } = process.env
  const own = Object.entries({ TZ, TMPDIR, NODE_COMPILE_CACHE }).filter(([, value]) => value)
  return { PATH, ...Object.fromEntries(own as [string, string][]), ...env }
}
