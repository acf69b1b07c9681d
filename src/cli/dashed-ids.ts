import type { Command } from 'commander'

/**
 * Ids in base64url, of which one in 64 begins with "-": a kid is a SHA-256 thumbprint (RFC 7638, 43 characters), a `jti` has 128
 * random bits (22 characters).
 */
const DASHED_ID = /^-(?:[A-Za-z0-9_-]{42}|[A-Za-z0-9_-]{21})$/

/**
 * Arguments in which such an id is an operand: it is moved behind "--", as it would be read as options otherwise. Where an
 * option takes a value, it stays its value.
 */
export function withDashedIds(program: Command, args: readonly string[]): readonly string[] {
  const end = args.includes('--') ? args.indexOf('--') : args.length
  const isId = (arg: string, place: number) =>
    place < end && DASHED_ID.test(arg) && !isOption(program, arg) && !takesValue(program, args[place - 1])
  const ids = args.filter(isId)
  if (ids.length === 0) return args
  const others = args.slice(0, end).filter((arg, place) => !isId(arg, place))
  return [...others, '--', ...ids, ...args.slice(end + 1)]
}

const isOption = (command: Command, arg: string): boolean =>
  command.options.some(({ long }) => long === arg) || command.commands.some(child => isOption(child, arg))

const takesValue = (command: Command, flag: string | undefined): boolean =>
  flag !== undefined &&
  (command.options.some(
    ({ short, long, required, optional }) => [short, long].includes(flag) && (required || optional),
  ) ||
    command.commands.some(child => takesValue(child, flag)))
