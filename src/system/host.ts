import { hostname } from 'node:os'

/** The name of this process for operators. */
export const processName = (): string => `${hostname()}:${process.pid}`
