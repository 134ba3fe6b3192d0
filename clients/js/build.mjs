// Builds dist/esm and dist/cjs with TypeScript's own compiler: node build.mjs
// No bundler: the package has few files, and bundlers of applications want modules to leave out what is not used.
import { spawnSync } from 'node:child_process';
import { rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const here = dirname(fileURLToPath(import.meta.url));
const tsc = join(here, 'node_modules', 'typescript', 'bin', 'tsc');
rmSync(join(here, 'dist'), { recursive: true, force: true });
for (const [out, type, args] of [['esm', 'module', []], ['cjs', 'commonjs', ['--module', 'CommonJS']]]) {
  const done = spawnSync(process.execPath, [tsc, '-p', here, '--outDir', join(here, 'dist', out), ...args], { stdio: 'inherit' });
  if (done.status !== 0) process.exit(done.status ?? 1);
  // Which kind of module the files of this folder are, and what `#platform` is: Node's primitives in Node, WebCrypto's elsewhere.
  const imports = { '#platform': { node: './platform_node.js', default: './platform_web.js' } };
  writeFileSync(join(here, 'dist', out, 'package.json'), `${JSON.stringify({ type, imports }, null, 2)}\n`);
}
