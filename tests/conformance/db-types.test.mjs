// semantics A4: every column type, in and out.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { rejects, sdk, table } from './client.mjs';

// [type, [value sent, value read (default: the same)]...]
const types = [
  ['smallint', [1], [-32768], [null]],
  ['integer', [2147483647], ['42', 42], [null]],
  ['bigint', [9007199254740991], ['9007199254740993', '9007199254740993'], ['-9223372036854775808', '-9223372036854775808'], [7, 7]],
  ['real', [0.5], [-1.25]],
  ['double precision', [0.1], [1e300], ['NaN', null], ['Infinity', null]],
  ['numeric', [1, '1'], ['123456789012345678901234567890.123456789', '123456789012345678901234567890.123456789'], [0.1, '0.1']],
  ['numeric(10,2)', [1.5, '1.50']],
  ['boolean', [true], [false], ['t', true], ['yes', true], ['off', false], [1, true], [0, false], [null]],
  ['text', ['plain'], [''], ['日本 🙂 \' " \\ \n\t'], [5, '5'], ["'; DROP TABLE x; --"]],
  ['varchar(10)', ['short']],
  ['char(3)', ['abc']],
  ['uuid', ['4bf92f35-77b3-4da6-a3ce-929d0e0e4736'], ['4BF92F3577B34DA6A3CE929D0E0E4736', '4bf92f35-77b3-4da6-a3ce-929d0e0e4736']],
  ['timestamptz', ['2026-03-04T05:06:07.089Z'], ['2026-03-04T05:06:07+02:00', '2026-03-04T03:06:07.000Z'], [1700000000123, '2023-11-14T22:13:20.123Z']],
  ['timestamp', ['2026-03-04T05:06:07.089', '2026-03-04T05:06:07.089Z'], [0, '1970-01-01T00:00:00.000Z']],
  ['date', ['2026-03-04', '2026-03-04T00:00:00.000Z'], [86400000, '1970-01-02T00:00:00.000Z']],
  ['time', ['05:06:07', '05:06:07']],
  ['interval', ['1 day 02:00:00', '1 day 02:00:00']],
  ['jsonb', [{ a: [1, null, { b: 'x' }] }], [[1, 2]], [[]], [{}], [5], [true], ['"text"', 'text'], ['{"raw":1}', { raw: 1 }]],
  ['json', [{ z: 1, a: [true] }], [[{ x: null }]]],
  ['text[]', [['a', 'b"c', 'd,e', '{f}', null, '', 'NULL', 'back\\slash']], [[]], [null]],
  ['int[]', [[1, 2, null, -3]], [[]]],
  ['int[][]', [[[1, 2], [3, 4]]]],
  ['boolean[]', [[true, false, null]]],
  ['jsonb[]', [[{ a: 1 }, [2], null]]],
  ['numeric[]', [['1.10', '2'], ['1.10', '2']]],
  ['timestamptz[]', [['2026-01-01T00:00:00.000Z']]],
  ['bytea', [Buffer.from([0, 1, 254, 255]).toString('base64')], ['']],
  ['inet', ['10.0.0.1', '10.0.0.1']],
];

describe('column types', () => {
  for (const [type, ...values] of types)
    test(type, async () => {
      const t = await table(`id int PRIMARY KEY, v ${type}`);
      let id = 0;
      for (const [sent, read = sent] of values) {
        id++;
        await t.insert({ id, v: sent });
        assert.deepEqual(await t.findFirst({ where: { id } }), { id, v: read }, `${type} ${JSON.stringify(sent)}`);
        // The same through an update, and back as a condition where equality exists.
        assert.deepEqual(await t.update({ where: { id }, data: { v: sent } }), { count: 1 });
        assert.deepEqual((await t.findFirst({ where: { id } })).v, read);
        const comparable = sent !== null && !Array.isArray(sent) && typeof sent !== 'object' && type !== 'json' && type !== 'real';
        if (comparable) assert.ok((await t.find({ where: { v: { equals: sent } } })).some((r) => r.id === id), `${type} equals ${JSON.stringify(sent)}`);
      }
    });
});

test('an enum and a domain', async () => {
  const client = sdk();
  const t = await table('id int PRIMARY KEY');
  await client.db.migrate({ sql: `CREATE TYPE ${t.sqlName}_mood AS ENUM ('sad', 'glad'); CREATE DOMAIN ${t.sqlName}_pos AS int CHECK (VALUE > 0);
    ALTER TABLE ${t.sqlName} ADD m ${t.sqlName}_mood, ADD p ${t.sqlName}_pos` });
  await t.insert({ id: 1, m: 'glad', p: 3 });
  assert.deepEqual(await t.findFirst({ where: { m: 'glad', p: { gte: 3 } } }), { id: 1, m: 'glad', p: 3 });
  await rejects(t.insert({ id: 2, m: 'angry' }), 400, 'invalid_value');
  await rejects(t.insert({ id: 2, p: -1 }), 400, 'check_violation');
});

test('a value of the wrong JSON type is 400 and names the column', async () => {
  const t = await table('id int PRIMARY KEY, n int, b boolean, at timestamptz, raw bytea, tags text[]');
  for (const data of [{ n: {} }, { n: 'abc' }, { n: 1.5 }, { at: 'soon' }, { raw: 5 }, { raw: '***' }, { tags: { a: 1 } }, { id: [1] }]) {
    const e = await rejects(t.insert({ id: 1, ...data }), 400, 'invalid_value');
    assert.ok(e.message.length > 5, e.message);
  }
  assert.equal(await t.count(), 0);
});

test('a NUL character cannot be stored and says so', async () => {
  const t = await table('id int PRIMARY KEY, s text');
  await rejects(t.insert({ id: 1, s: 'a\u0000b' }), 400, 'invalid_value');
});
