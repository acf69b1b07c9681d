/** See right-node.js, which is JavaScript because any Node must be able to run it. */
export function onRightNode(script: string, args: readonly string[], start: () => unknown): void
