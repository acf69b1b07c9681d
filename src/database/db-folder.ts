/** db/ is a sibling of src and of dist. */
export const DB_FOLDER = new URL('../../db/', import.meta.url)
