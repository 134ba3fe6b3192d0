import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

export const root = join(dirname(fileURLToPath(import.meta.url)), '..', '..');
/** Where the binaries are; ctest sets it to its own build folder. */
export const bin = process.env.RAYMESH_BIN ?? join(root, 'build', 'release', 'bin');
