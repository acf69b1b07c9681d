import { hostname } from 'node:os'

/** What an operator finds this process by. */
export const processName = (): string => `${hostname()}:${process.pid}`
