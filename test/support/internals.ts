/** What an answer must never show: a stack, a path of this machine, a library's or the database's own words. */
export const INTERNALS =
  /\bat [\w.<>]+ \(|node:internal|node_modules|\/(?:work|src|home|root|usr)\/|\.ts:\d|SQLSTATE|syntax error|invalid input syntax|violates|\bkysely\b|\bECONN|\bzod\b/
