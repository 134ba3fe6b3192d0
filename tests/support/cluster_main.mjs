// Holds a cluster for a program that is not Node: `node cluster_main.mjs separate|dev --ready-file F` writes its addresses and pids to F
// and stops everything when its standard input ends. --realtime-nodes N and --realtime-flag=FLAG (repeatable) are startCluster's options.
import { renameSync, writeFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { startCluster } from './cluster.mjs';

const { values, positionals } = parseArgs({
  options: { 'ready-file': { type: 'string' }, 'realtime-flag': { type: 'string', multiple: true }, 'realtime-nodes': { type: 'string' } },
  allowPositionals: true,
});
const cluster = await startCluster(positionals[0] ?? 'separate', { realtimeFlags: values['realtime-flag'], realtimeNodes: Number(values['realtime-nodes'] ?? 1) });
writeFileSync(`${values['ready-file']}.part`, JSON.stringify(cluster.describe()));
renameSync(`${values['ready-file']}.part`, values['ready-file']);
process.stdin.resume();
for (const event of ['end', 'close']) process.stdin.on(event, () => stop());
for (const signal of ['SIGTERM', 'SIGINT']) process.on(signal, () => stop());
let stopping;
function stop() {
  stopping ??= cluster.stop().finally(() => process.exit(0));
}
