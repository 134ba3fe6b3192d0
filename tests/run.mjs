// Runs a folder of tests against a cluster of its own: node tests/run.mjs conformance --mode dev|separate|redis|redis3 [--client raystream]
// [node --test arguments]
import { spawnSync } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { startCluster } from './support/cluster.mjs';

const [folder, ...rest] = process.argv.slice(2);
const option = (name, otherwise) => {
  const at = rest.indexOf(name);
  return at < 0 ? otherwise : rest.splice(at, 2)[1];
};
const mode = option('--mode', 'dev');
// http: the published SDK; raystream: clients/js in its place, over one session.
const client = option('--client', 'http');
const here = join(dirname(fileURLToPath(import.meta.url)), folder);
const files = rest.filter((a) => a.endsWith('.mjs'));
const selected = files.length > 0 ? files : readdirSync(here).filter((f) => f.endsWith('.test.mjs')).map((f) => join(here, f));

// One realtime node with the Redis broker, or three.
const redis = { redis: { realtimeBroker: 'redis' }, redis3: { realtimeBroker: 'redis', realtimeNodes: 3 } }[mode];
const cluster = await startCluster(redis ? 'separate' : mode, redis);
let status = 1;
try {
  const done = spawnSync(process.execPath, ['--test', '--test-reporter=spec', ...rest.filter((a) => !a.endsWith('.mjs')), ...selected], {
    stdio: 'inherit',
    env: { ...process.env, RAYMESH_URL: cluster.url, RAYMESH_API_KEY: cluster.apiKey, RAYMESH_REALTIME_URLS: cluster.realtimeUrls.join(), RAYMESH_OTHER_API_KEY: cluster.otherApiKey, RAYMESH_CLIENT: client },
  });
  status = done.status ?? 1;
} finally {
  const problems = await cluster.stop();
  if (problems.length > 0) {
    console.error(problems.join('\n'));
    status = 1;
  }
}
process.exit(status);
