// Checks deploy/k8s and the configuration in docs/operations.md offline:
// node tests/deploy/check.mjs [--bin build/release/bin] [folder]
import { readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { apiProblems } from './api_types.mjs';
import { readFolder } from './manifests.mjs';
import { documentProblems, helpOf, optionProblems } from './options.mjs';
import { ruleProblems } from './rules.mjs';

const root = join(dirname(fileURLToPath(import.meta.url)), '..', '..');
const { values, positionals } = parseArgs({ options: { bin: { type: 'string', default: join(root, 'build', 'release', 'bin') } }, allowPositionals: true });

const folder = readFolder(positionals[0] ?? join(root, 'deploy', 'k8s'));
const help = helpOf(values.bin);
const problems = [
  ...apiProblems(folder.manifests), ...ruleProblems(folder), ...optionProblems(folder, help),
  ...documentProblems('docs/operations.md', readFileSync(join(root, 'docs', 'operations.md'), 'utf8'), help),
];
if (problems.length > 0) {
  console.error(problems.join('\n'));
  process.exit(1);
}
console.log(`${folder.manifests.length} objects in ${folder.files.length} files: types, references, security and options are right`);
