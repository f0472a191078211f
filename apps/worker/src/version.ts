import { versionAbove } from '@keyledger/platform';

/** The version of the package that this file is part of, built or not. */
export const VERSION = versionAbove(new URL('.', import.meta.url));
