// The services' own gRPC doors, as another program meets them: mutual TLS, who may call what, service tokens, health, reflection.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { after, before, describe, test } from 'node:test';
import grpc from '@grpc/grpc-js';
import loader from '@grpc/proto-loader';
import { startCluster } from '../support/cluster.mjs';
import { root } from '../support/paths.mjs';

let cluster;
before(async () => {
  cluster = await startCluster('separate');
  await cluster.migrate('CREATE TABLE secrets (id int PRIMARY KEY); INSERT INTO secrets VALUES (7)');
});
after(async () => assert.deepEqual(await cluster.stop(), []));

const definition = (name) =>
  grpc.loadPackageDefinition(loader.loadSync(`raymesh/${name}/v1/${name}.proto`, { includeDirs: [`${root}/proto`], keepCase: true, longs: String })).raymesh[name].v1;

function credentials(role) {
  const read = (file) => readFileSync(`${cluster.certificates}/${file}`);
  return role ? grpc.credentials.createSsl(read('ca.pem'), read(`${role}-key.pem`), read(`${role}.pem`)) : grpc.credentials.createSsl(read('ca.pem'));
}

function storage(role) {
  const { Storage } = definition('storage');
  return new Storage(cluster.grpc.storage, credentials(role), { 'grpc.ssl_target_name_override': 'storage.raymesh' });
}

const unary = (client, method, request, metadata = {}) =>
  new Promise((resolve, reject) => {
    const m = new grpc.Metadata();
    for (const [k, v] of Object.entries(metadata)) m.set(k, v);
    client[method](request, m, { deadline: Date.now() + 10_000 }, (error, reply) => (error ? reject(error) : resolve(reply)));
  });

const count = { operation: 'count', table: 'secrets' };
const refused = async (promise, ...codes) => {
  const error = await promise.then((reply) => assert.fail(`answered ${JSON.stringify(reply)}`), (e) => e);
  assert.ok(codes.includes(error.code), `${error.code}: ${error.message}`);
  return error;
};

describe('who may call', () => {
  test('a caller without a certificate gets no connection', async () => {
    await refused(unary(storage(null), 'Query', count), grpc.status.UNAVAILABLE);
  });

  test('plain text gets no connection', async () => {
    const { Storage } = definition('storage');
    await refused(unary(new Storage(cluster.grpc.storage, grpc.credentials.createInsecure()), 'Query', count), grpc.status.UNAVAILABLE);
  });

  test('a CallContext from a certificate that is not the gateway\'s is refused', async () => {
    for (const role of ['cache', 'realtime', 'auth', 'cli']) {
      const e = await refused(unary(storage(role), 'Query', { ...count, context: { project: cluster.project } }), grpc.status.PERMISSION_DENIED, grpc.status.UNAUTHENTICATED);
      assert.ok(e.message.length > 10);
    }
  });

  test('the gateway\'s certificate may bring a CallContext', async () => {
    const reply = await unary(storage('gateway'), 'Query', { ...count, context: { project: cluster.project } });
    assert.equal(reply.json.toString(), '1');
  });
});

describe('service tokens', () => {
  test('a token answers for its own project, and a forged context beside it does not help', async () => {
    const token = cluster.serviceToken(cluster.project);
    const client = storage('cli');
    const reply = await unary(client, 'Query', count, { authorization: `Bearer ${token}` });
    assert.equal(reply.json.toString(), '1');
    await refused(unary(client, 'Query', { ...count, context: { project: cluster.otherProject } }, { authorization: `Bearer ${token}` }), grpc.status.PERMISSION_DENIED);
    await refused(unary(client, 'Query', { ...count, context: { project: cluster.project, user: 'somebody' } }, { authorization: `Bearer ${token}` }), grpc.status.PERMISSION_DENIED);
  });

  test('a token of another project sees another project', async () => {
    const token = cluster.serviceToken(cluster.otherProject);
    await refused(unary(storage('cli'), 'Query', count, { authorization: `Bearer ${token}` }), grpc.status.INVALID_ARGUMENT);
  });

  test('a tampered token is nobody', async () => {
    const token = cluster.serviceToken(cluster.project);
    await refused(unary(storage('cli'), 'Query', count, { authorization: `Bearer ${token.slice(0, -3)}AAA` }), grpc.status.UNAUTHENTICATED, grpc.status.PERMISSION_DENIED);
  });
});

test('health and reflection answer on every service', async () => {
  const health = grpc.loadPackageDefinition(loader.loadSync(`${root}/tests/e2e/health.proto`, { enums: String })).grpc.health.v1.Health;
  for (const [name, address] of Object.entries(cluster.grpc)) {
    const options = { 'grpc.ssl_target_name_override': `${name}.raymesh` };
    const reply = await unary(new health(address, credentials('gateway'), options), 'Check', { service: '' });
    assert.equal(reply.status, 'SERVING', name);
  }
});
