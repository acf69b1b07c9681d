import { NotFound } from '../errors.ts'

/** Whoever is bound to one tenant is told of what is another's that it is not there. The audit trail knows better. */
export class OfAnotherTenant extends NotFound {}
