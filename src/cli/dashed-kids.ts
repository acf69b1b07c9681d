import type { Command } from 'commander'

/** A kid is a SHA-256 thumbprint in base64url (RFC 7638): one in 64 begins with "-". */
const DASHED_KID = /^-[A-Za-z0-9_-]{42}$/

/**
 * Arguments in which such a kid is an operand: it is moved behind "--", as it would be read as options otherwise. Where an
 * option takes a value, it stays its value.
 */
export function withDashedKids(program: Command, args: readonly string[]): readonly string[] {
  const end = args.includes('--') ? args.indexOf('--') : args.length
  const isKid = (arg: string, place: number) =>
    place < end && DASHED_KID.test(arg) && !takesValue(program, args[place - 1])
  const kids = args.filter(isKid)
  if (kids.length === 0) return args
  const others = args.slice(0, end).filter((arg, place) => !isKid(arg, place))
  return [...others, '--', ...kids, ...args.slice(end + 1)]
}

const takesValue = (command: Command, flag: string | undefined): boolean =>
  flag !== undefined &&
  (command.options.some(
    ({ short, long, required, optional }) => [short, long].includes(flag) && (required || optional),
  ) ||
    command.commands.some(child => takesValue(child, flag)))
