/** Text that a response must never contain: a stack, a path of this machine, a message of a library or the database. */
export const INTERNALS =
  /\bat [\w.<>]+ \(|node:internal|node_modules|\/(?:work|src|home|root|usr)\/|\.ts:\d|SQLSTATE|syntax error|invalid input syntax|violates|\bkysely\b|\bECONN|\bzod\b/
