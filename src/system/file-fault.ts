/** Readable reasons for the operating system's error codes. Codes that only a bug can cause are left out. */
const REASONS: Record<string, string> = {
  EACCES: 'this user may not',
  EPERM: 'this user may not',
  EROFS: 'the file system is read-only',
  ENOSPC: 'the disk is full',
  EDQUOT: 'the disk quota is used up',
  ENOENT: 'it is not there',
  ENOTDIR: 'a part of its path is a file',
  EEXIST: 'a file is in its place',
  EISDIR: 'it is a folder',
  ELOOP: 'its links lead in a circle',
  ENAMETOOLONG: 'its name is too long',
  EMFILE: 'too many files are open',
  ENFILE: 'too many files are open',
  EIO: 'the disk does not answer',
}

/** Why a file or folder cannot be used, as in `this user may not (EACCES)`; undefined for any other error. */
export function fileFault(error: unknown): string | undefined {
  const { code = '' } = error as NodeJS.ErrnoException
  return REASONS[code] && `${REASONS[code]} (${code})`
}
