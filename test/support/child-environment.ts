/**
 * The environment of a process that a test starts: nothing of our own but the PATH, and the place where Node keeps compiled
 * code, which vitest.config.ts names: with it a process needs a third of the time to start.
 */
export function childEnvironment(env: Record<string, string> = {}): Record<string, string> {
  const { PATH = '', NODE_COMPILE_CACHE } = process.env
  return { PATH, ...(NODE_COMPILE_CACHE && { NODE_COMPILE_CACHE }), ...env }
}
