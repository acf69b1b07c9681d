import { NotFound } from '../errors.ts'

/** 404 for objects of other tenants, for administrators bound to one tenant; audited as a refusal. */
export class ForeignTenant extends NotFound {}
