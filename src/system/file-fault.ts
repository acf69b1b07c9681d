/** Readable reasons for the operating system's error codes. Codes that only a bug can cause are left out. */
const REASONS: Record<string, string> = {
  EACCES: 'permission denied for this user',
  EPERM: 'permission denied for this user',
  EROFS: 'the file system is read-only',
  ENOSPC: 'the disk is full',
  EDQUOT: 'the disk quota is used up',
  ENOENT: 'it does not exist',
  ENOTDIR: 'a part of its path is a file',
  EEXIST: 'a file exists in its place',
  EISDIR: 'it is a directory',
  ELOOP: 'its links form a loop',
  ENAMETOOLONG: 'its name is too long',
  EMFILE: 'too many files are open',
  ENFILE: 'too many files are open',
  EIO: 'the disk does not answer',
}

/** Why a file or folder cannot be used, as in `permission denied for this user (EACCES)`; undefined for any other error. */
export function fileFault(error: unknown): string | undefined {
  const { code = '' } = error as NodeJS.ErrnoException
  return REASONS[code] && `${REASONS[code]} (${code})`
}
