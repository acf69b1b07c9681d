/** db/ lies beside src and beside dist. */
export const DB_FOLDER = new URL('../../db/', import.meta.url)
