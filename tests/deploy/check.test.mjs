// The checks of deploy/k8s find what they should: each test breaks one thing of the real manifests.
import assert from 'node:assert/strict';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { apiProblems } from './api_types.mjs';
import { readFolder } from './manifests.mjs';
import { documentProblems, optionProblems, parseHelp } from './options.mjs';
import { ruleProblems } from './rules.mjs';

const k8s = join(dirname(fileURLToPath(import.meta.url)), '..', '..', 'deploy', 'k8s');

/** The real folder after `change`. */
function broken(change) {
  const folder = readFolder(k8s);
  const find = (kind, name) => {
    const found = folder.manifests.find((m) => m.kind === kind && m.name === name);
    assert.ok(found, `${kind} ${name} is gone: adapt this test`);
    return found.object;
  };
  change(find, folder);
  return folder;
}

function refuses(check, change, expected) {
  const problems = check(broken(change)).join('\n');
  assert.match(problems, expected);
}

const api = (folder) => apiProblems(folder.manifests);
const container = (find) => find('Deployment', 'raymesh-storage').spec.template.spec.containers[0];
const pod = (find) => find('Deployment', 'raymesh-storage').spec.template.spec;

test('the manifests as they are have no problem', () => {
  const folder = readFolder(k8s);
  assert.deepEqual([...api(folder), ...ruleProblems(folder)], []);
});

test('an unknown kind or version is found', () => {
  refuses(api, (find) => (find('Deployment', 'raymesh-storage').kind = 'Deploymnt'), /there is no apps\/v1 Deploymnt/);
  refuses(api, (find) => (find('Deployment', 'raymesh-storage').apiVersion = 'apps/v1beta9'), /there is no apps\/v1beta9/);
});

test('an unknown field is found with its path, at any depth', () => {
  refuses(api, (find) => (find('Deployment', 'raymesh-storage').spec.replica = 2), /Deployment raymesh-storage: spec\.replica: .*"replica".* does not exist/);
  refuses(api, (find) => (container(find).imagePullPolice = 'Always'), /spec\.template\.spec\.containers\[0\]\.imagePullPolice/);
  refuses(api, (find) => (find('NetworkPolicy', 'grpc').spec.ingress[0].form = []), /NetworkPolicy grpc: spec\.ingress\[0\]\.form/);
});

test('a wrong type and a missing field are found', () => {
  refuses(api, (find) => (find('Deployment', 'raymesh-storage').spec.replicas = '2'), /raymesh-storage/);
  refuses(api, (find) => delete find('Deployment', 'raymesh-storage').spec.selector, /selector/);
  refuses(api, (find) => delete container(find).name, /name/);
});

test('a pod that is not locked down is found', () => {
  refuses(ruleProblems, (find) => delete pod(find).securityContext.runAsNonRoot, /runAsNonRoot/);
  refuses(ruleProblems, (find) => (container(find).securityContext.capabilities.drop = ['NET_RAW']), /drop ALL/);
  refuses(ruleProblems, (find) => (container(find).securityContext.readOnlyRootFilesystem = false), /readOnlyRootFilesystem/);
  refuses(ruleProblems, (find) => delete pod(find).enableServiceLinks, /enableServiceLinks/);
  refuses(ruleProblems, (find) => delete container(find).resources.limits, /limits\.memory/);
});

test('names that refer to nothing are found', () => {
  refuses(ruleProblems, (find) => (pod(find).volumes[1].secret.secretName = 'gone'), /there is no Secret gone/);
  refuses(ruleProblems, (find) => (container(find).volumeMounts[0].name = 'gone'), /there is no volume gone/);
  refuses(ruleProblems, (find) => (container(find).readinessProbe.httpGet.port = 'gone'), /there is no port gone/);
  refuses(ruleProblems, (find) => (find('Service', 'raymesh-auth').spec.selector = { a: 'b' }), /matches no pod/);
  refuses(ruleProblems, (find) => (find('Service', 'raymesh-auth').spec.ports[0].targetPort = 'gone'), /no pod has a port named gone/);
  refuses(ruleProblems, (find) => (find('HorizontalPodAutoscaler', 'raymesh-realtime').spec.scaleTargetRef.name = 'gone'), /there is no Deployment gone/);
  refuses(ruleProblems, (find, folder) => folder.kustomization.resources.pop(), /not among its resources/);
});

test('a secret that everybody in the pod may read is found', () => {
  refuses(ruleProblems, (find) => (pod(find).volumes[1].secret.defaultMode = 0o644), /defaultMode must be 288/);
});

test('a grace period shorter than the drain is found', () => {
  refuses(ruleProblems, (find) => (pod(find).terminationGracePeriodSeconds = 30), /below shutdown-delay \+ drain/);
  refuses(ruleProblems, (find, folder) => (folder.config.drain = '5m'), /below shutdown-delay \+ drain/);
});

test('a policy that opens the gRPC ports is found', () => {
  refuses(ruleProblems, (find) => delete find('NetworkPolicy', 'grpc').spec.ingress[0].from, /others than the gateway/);
  refuses(ruleProblems, (find) => find('NetworkPolicy', 'ops').spec.ingress[0].ports.push({ port: 5002 }), /others than the gateway/);
  refuses(ruleProblems, (find, folder) => (folder.manifests = folder.manifests.filter((m) => m.name !== 'default-deny')), /denies everything/);
});

test('a Service for gRPC that is not headless is found', () => {
  refuses(ruleProblems, (find) => delete find('Service', 'raymesh-auth').spec.clusterIP, /must be headless/);
});

const HELP = `raymesh-x - x

Options of x (in the file below "x:"):
  --listen TEXT              Address. Default 127.0.0.1:5002. RAYMESH_X_LISTEN
  --system-url TEXT          PostgreSQL, as the role raymesh_storage. Secret; --system-url-file reads
                             it from a file. RAYMESH_X_SYSTEM_URL
`;

test('a port that nobody can reach is found', () => {
  refuses(ruleProblems, (find) => find('Service', 'raymesh-gateway').spec.ports.pop(), /raymesh-gateway: no Service leads to port 4100 \(raystream-listen\)/);
  refuses(ruleProblems, (find) => find('NetworkPolicy', 'gateway').spec.ingress[0].ports.pop(), /raymesh-gateway: no NetworkPolicy lets anybody reach port 4100/);
  refuses(ruleProblems, (find) => delete find('NetworkPolicy', 'realtime-public').spec.ingress, /raymesh-realtime: no NetworkPolicy lets anybody reach port 4004/);
});

test('flags, variables and file forms are read from --help', () => {
  const { flags, variables } = parseHelp(HELP);
  for (const flag of ['listen', 'system-url', 'system-url-file', 'config']) assert.ok(flags.has(flag), flag);
  for (const name of ['RAYMESH_X_LISTEN', 'RAYMESH_X_SYSTEM_URL_FILE']) assert.ok(variables.has(name), name);
  assert.ok(!flags.has('listen-file'));
  assert.ok(!variables.has('RAYMESH_X_LISTEN_FILE'));
});

test('keys, arguments, variables and files that a binary does not know are found', () => {
  const all = { has: () => true };
  const permissive = () => ({ flags: all, variables: all });
  const options = (folder) => optionProblems(folder, permissive);
  assert.deepEqual(options(readFolder(k8s)), []);
  const strict = (folder) => optionProblems(folder, () => parseHelp(HELP));
  refuses(strict, (find, folder) => (folder.config.storage.lissten = 'x'), /raymesh-storage has no option lissten/);
  refuses(strict, (find) => container(find).args.push('--verbose=1'), /has no option --verbose/);
  refuses(strict, (find) => (container(find).env = [{ name: 'RAYMESH_STORAGE_X', value: '1' }]), /RAYMESH_STORAGE_X/);
  refuses(options, (find, folder) => (folder.config.storage['system-url-file'] = '/etc/raymesh/secrets/other'), /no volume puts a file at/);
  refuses(options, (find, folder) => (folder.config.storage.listen = '0.0.0.0:6002'), /no port for listen/);
  refuses(options, (find, folder) => (folder.config.gateway['raystream-listen'] = '0.0.0.0:4101'), /no port for raystream-listen/);
  refuses(options, (find, folder) => (folder.config.mail = { host: 'x' }), /no Deployment runs the section mail/);
});

test('a key in a document that a binary does not know is found', () => {
  const help = () => parseHelp(HELP);
  const text = (key) => `before\n\n\`\`\`yaml\nx:\n  ${key}: 1\n\`\`\`\nafter`;
  assert.deepEqual(documentProblems('a.md', text('listen'), help), []);
  assert.match(documentProblems('a.md', text('lisen'), help).join(), /a\.md: x: raymesh-x has no option lisen/);
});
