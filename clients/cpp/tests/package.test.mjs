// The package as others get it: installed, found by CMake, and the README's first example built with it and run.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { startCluster } from '../../../tests/support/cluster.mjs';
import { bin, root } from '../../../tests/support/paths.mjs';
import { run } from '../../../tests/support/processes.mjs';

const block = (text, language) => {
  const found = text.match(new RegExp(`\`\`\`${language}\n(.*?)\`\`\``, 's'));
  assert.ok(found, `a block of ${language}`);
  return found[1];
};

test('the README\'s first example: install, find_package, build, run', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'rm-cpp-'));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  const prefix = join(folder, 'installed');
  const environment = { env: process.env, timeout: 500_000 };
  run('cmake', ['--install', join(bin, '..'), '--component', 'client', '--prefix', prefix], environment);
  const readme = readFileSync(`${root}/clients/cpp/README.md`, 'utf8');
  const hello = join(folder, 'hello');
  mkdirSync(hello);
  writeFileSync(join(hello, 'CMakeLists.txt'), block(readme, 'cmake'));
  writeFileSync(join(hello, 'hello.cpp'), block(readme, 'cpp'));
  run('cmake', ['-S', hello, '-B', join(hello, 'build'), `-DCMAKE_PREFIX_PATH=${prefix}`], environment);
  run('cmake', ['--build', join(hello, 'build')], environment);
  // What another compiler would not link is refused where it can still be understood.
  const gcc = /CMAKE_CXX_COMPILER:\w+=.*clang/.test(readFileSync(join(hello, 'build', 'CMakeCache.txt'), 'utf8')) === false;
  const other = spawnSync('cmake', ['-S', hello, '-B', join(hello, 'other'), `-DCMAKE_PREFIX_PATH=${prefix}`, `-DCMAKE_CXX_COMPILER=${gcc ? 'clang++' : 'g++'}`], { encoding: 'utf8' });
  assert.match(other.stderr.replace(/\s+/g, ' '), /raymesh_client.*it was built by (GNU|Clang), and this project is built by (GNU|Clang)/);
  // Nothing of the checkout is needed to build it.
  assert.ok(!readFileSync(join(hello, 'build', 'CMakeCache.txt'), 'utf8').includes(`${root}/libs`));

  const cluster = await startCluster('dev');
  t.after(async () => assert.deepEqual(await cluster.stop(), []));
  for (const count of [1, 2]) {
    const said = run(join(hello, 'build', 'hello'), [], { env: { RAYMESH_URL: cluster.url, RAYMESH_API_KEY: cluster.apiKey } });
    assert.deepEqual(said.trim().split('\n').map((line) => line.replace(/\s/g, '')), [`{"data":${count}}`, 'set:1', '{"value":[1,2]}']);
  }
});
