// semantics A4 through the SDK: operations, operators, limits, errors.
import assert from 'node:assert/strict';
import { before, describe, test } from 'node:test';
import { http, otherProject, rejects, sdk, table, unique } from './client.mjs';

const client = sdk();

describe('operations', () => {
  test('insert, find, update, delete, count', async () => {
    const t = await table('id serial PRIMARY KEY, name text NOT NULL, age int');
    const { id } = await t.insert({ name: 'Ada', age: 36 });
    assert.equal(id, 1);
    assert.deepEqual(await t.insert({ name: 'Alan' }), { id: 2 });
    assert.deepEqual(await t.find({ orderBy: { id: 'asc' } }), [
      { id: 1, name: 'Ada', age: 36 },
      { id: 2, name: 'Alan', age: null },
    ]);
    assert.deepEqual(await t.findMany({ where: { name: 'Ada' } }), [{ id: 1, name: 'Ada', age: 36 }]);
    assert.deepEqual(await t.findFirst({ where: { id: 2 } }), { id: 2, name: 'Alan', age: null });
    assert.deepEqual(await t.findOne({ orderBy: { id: 'desc' } }), { id: 2, name: 'Alan', age: null });
    assert.equal(await t.findFirst({ where: { id: 99 } }), null);
    assert.deepEqual(await t.update({ where: { id: 2 }, data: { age: 41, name: 'Turing' } }), { count: 1 });
    assert.deepEqual(await t.update({ where: { id: 99 }, data: { age: 1 } }), { count: 0 });
    assert.equal(await t.count(), 2);
    assert.equal(await t.count({ where: { age: { gt: 40 } } }), 1);
    assert.deepEqual(await t.delete({ where: { id: 1 } }), { count: 1 });
    assert.deepEqual(await t.find(), [{ id: 2, name: 'Turing', age: 41 }]);
  });

  test('db.name and db(name) are the same table', async () => {
    const t = await table('id int PRIMARY KEY');
    await client.db[t.sqlName].insert({ id: 5 });
    assert.deepEqual(await client.db(t.sqlName).find(), [{ id: 5 }]);
  });

  test('insert without an id column answers the whole row as id', async () => {
    const t = await table('a int, b text');
    assert.deepEqual(await t.insert({ a: 1, b: 'x' }), { id: { a: 1, b: 'x' } });
  });

  test('table names that need quoting work', async () => {
    for (const raw of ['user-profiles', 'Mixed Case', 'select', 'ünï', 'quo"te']) {
      const name = `${raw}${unique('')}`;
      await client.db.migrate({ sql: `CREATE TABLE "${name.replaceAll('"', '""')}" (id int, "Odd-Col" text)` });
      await client.db(name).insert({ id: 1, 'Odd-Col': 'x' });
      assert.deepEqual(await client.db(name).find({ where: { 'Odd-Col': 'x' } }), [{ id: 1, 'Odd-Col': 'x' }]);
    }
  });

  test('select, orderBy, limit and offset', async () => {
    const t = await table('id int PRIMARY KEY, grp text, n int');
    for (let i = 1; i <= 6; i++) await t.insert({ id: i, grp: i % 2 ? 'odd' : 'even', n: 10 - i });
    assert.deepEqual(await t.find({ select: ['id'], orderBy: { id: 'desc' }, limit: 2 }), [{ id: 6 }, { id: 5 }]);
    assert.deepEqual(await t.find({ select: ['n', 'id'], orderBy: { grp: 'asc', n: 'asc' }, limit: 2, offset: 1 }), [{ n: 6, id: 4 }, { n: 8, id: 2 }]);
    assert.equal((await t.find({ limit: 0 })).length, 0);
    assert.equal((await t.find({ offset: 100 })).length, 0);
  });

  test('a page has at most 1000 rows, and asking beyond is clamped', async () => {
    const t = await table('id int PRIMARY KEY');
    await client.db.migrate({ sql: `INSERT INTO ${t.sqlName} SELECT generate_series(1, 2500)` });
    assert.equal((await t.find()).length, 1000);
    assert.equal((await t.find({ limit: 100_000 })).length, 1000);
    const seen = [];
    for (let offset = 0; ; offset += 1000) {
      const page = await t.find({ orderBy: { id: 'asc' }, limit: 1000, offset });
      if (!page.length) break;
      seen.push(...page.map((r) => r.id));
    }
    assert.deepEqual(seen, Array.from({ length: 2500 }, (_, i) => i + 1));
    assert.equal(await t.count(), 2500);
  });

  test('bad limits are 400, never "no limit"', async () => {
    const t = await table('id int');
    for (const limit of [-1, 1.5, 'ten', {}, [1], true]) await rejects(t.find({ limit }), 400, undefined);
    for (const offset of [-1, 1.5, 'ten']) await rejects(t.find({ offset }), 400, undefined);
  });

  test('big rows and big pages come back whole', async () => {
    const t = await table('id int PRIMARY KEY, body text');
    const body = '日本语🙂"\\\n'.repeat(40_000);
    await t.insert({ id: 1, body });
    assert.equal((await t.findFirst({ where: { id: 1 } })).body, body);
    await client.db.migrate({ sql: `INSERT INTO ${t.sqlName} SELECT i, repeat('x', 5000) FROM generate_series(2, 1000) i` });
    const rows = await t.find({ where: { id: { gt: 1 } }, orderBy: { id: 'asc' } });
    assert.equal(rows.length, 999);
    assert.ok(rows.every((r, i) => r.id === i + 2 && r.body.length === 5000));
  });
});

describe('operators', () => {
  let t;
  const ids = async (where) => (await t.find({ where, orderBy: { id: 'asc' } })).map((r) => r.id);

  before(async () => {
    t = await table('id int PRIMARY KEY, s text, n int, f double precision, ok boolean, at timestamptz, tag text[], doc jsonb, u uuid');
    const rows = [
      { id: 1, s: 'apple', n: 1, f: 0.5, ok: true, at: '2026-01-01T00:00:00Z' },
      { id: 2, s: 'Apple pie', n: 2, f: 1.5, ok: false, at: '2026-01-02T00:00:00Z' },
      { id: 3, s: '100% _real_ \\ thing', n: 3, f: 2.5, ok: true, at: '2026-01-03T00:00:00Z' },
      { id: 4, s: null, n: null, f: null, ok: null, at: null },
      { id: 5, s: 'banana', n: 5, f: -1, ok: false, at: '2026-01-05T00:00:00Z' },
    ];
    for (const row of rows) await t.insert(row);
  });

  const cases = [
    ['scalar', { s: 'apple' }, [1]],
    ['number', { n: 2 }, [2]],
    ['null', { s: null }, [4]],
    ['boolean', { ok: true }, [1, 3]],
    ['array is IN', { id: [1, 3, 99] }, [1, 3]],
    ['empty array is nothing', { id: [] }, []],
    ['equals', { s: { equals: 'apple' } }, [1]],
    ['eq', { s: { eq: 'apple' } }, [1]],
    ['equals null', { s: { equals: null } }, [4]],
    ['not drops null rows', { s: { not: 'apple' } }, [2, 3, 5]],
    ['not null', { s: { not: null } }, [1, 2, 3, 5]],
    ['not array', { id: { not: [1, 2] } }, [3, 4, 5]],
    ['not empty array is everything', { id: { not: [] } }, [1, 2, 3, 4, 5]],
    ['gt', { n: { gt: 2 } }, [3, 5]],
    ['gte', { n: { gte: 2 } }, [2, 3, 5]],
    ['lt', { n: { lt: 2 } }, [1]],
    ['lte', { n: { lte: 2 } }, [1, 2]],
    ['range on one column', { n: { gte: 2, lt: 5 } }, [2, 3]],
    ['float', { f: { lt: 0 } }, [5]],
    ['time', { at: { gte: '2026-01-02T00:00:00Z', lt: '2026-01-05' } }, [2, 3]],
    ['in', { id: { in: [5, 1] } }, [1, 5]],
    ['in empty', { id: { in: [] } }, []],
    ['in, not an array', { id: { in: 5 } }, []],
    ['notIn', { id: { notIn: [5, 1] } }, [2, 3, 4]],
    ['notIn empty', { id: { notIn: [] } }, [1, 2, 3, 4, 5]],
    ['notIn, not an array', { id: { notIn: 5 } }, [1, 2, 3, 4, 5]],
    ['contains', { s: { contains: 'pp' } }, [1, 2]],
    ['contains is case-sensitive', { s: { contains: 'APP' } }, []],
    ['contains insensitive', { s: { contains: 'APP', mode: 'insensitive' } }, [1, 2]],
    ['startsWith', { s: { startsWith: 'app' } }, [1]],
    ['startsWith insensitive', { s: { startsWith: 'app', mode: 'insensitive' } }, [1, 2]],
    ['endsWith', { s: { endsWith: 'a' } }, [5]],
    ['% is itself', { s: { contains: '%' } }, [3]],
    ['_ is itself', { s: { contains: '_' } }, [3]],
    ['\\ is itself', { s: { contains: '\\' } }, [3]],
    ['keys combine with AND', { ok: true, n: 3 }, [3]],
    ['AND', { AND: [{ ok: true }, { n: 1 }] }, [1]],
    ['OR', { OR: [{ n: 1 }, { s: 'banana' }] }, [1, 5]],
    ['NOT', { NOT: { s: 'apple' } }, [2, 3, 5]],
    ['nested', { OR: [{ AND: [{ ok: false }, { n: { gt: 2 } }] }, { NOT: { id: { in: [2, 3, 4, 5] } } }] }, [1, 5]],
    ['beside a column', { ok: false, OR: [{ n: 2 }, { n: 3 }] }, [2]],
    ['AND of nothing', { AND: [] }, [1, 2, 3, 4, 5]],
    ['OR of nothing', { OR: [] }, [1, 2, 3, 4, 5]],
    ['empty member of AND', { AND: [{}, { id: 1 }] }, [1]],
    ['several operators and LIKE', { s: { startsWith: 'a', endsWith: 'e', not: 'ape' } }, [1]],
  ];
  for (const [name, where, expected] of cases)
    test(name, async () => {
      assert.deepEqual(await ids(where), expected);
      assert.equal(await t.count({ where }), expected.length);
    });

  test('an empty member of OR never gives an error of ours', async () => {
    const r = await http('POST', '/api/v1/db', { body: { operation: 'count', tableName: t.sqlName, options: { where: { OR: [{}, { id: 1 }] } } } });
    assert.ok([200, 400].includes(r.status), r.text);
  });

  const refused = [
    ['unknown operator', { n: { near: 3 } }, 'unsupported_operator'],
    ['NOT of an array', { NOT: [{ n: 1 }] }, undefined],
    ['AND of an object', { AND: { n: 1 } }, undefined],
    ['unknown column', { nope: 1 }, 'unknown_column'],
    ['text for an int', { n: 'many' }, 'invalid_value'],
    ['bad uuid', { u: 'not-a-uuid' }, 'invalid_value'],
    ['bad time', { at: 'yesterday-ish' }, 'invalid_value'],
    ['where is a string', 'n = 1', undefined],
    ['too deep', Array.from({ length: 200 }).reduce((inner) => ({ NOT: inner }), { n: 1 }), undefined],
  ];
  for (const [name, where, code] of refused)
    test(`${name} is 400`, async () => {
      await rejects(t.find({ where }), 400, code);
    });
});

describe('conditions of update and delete', () => {
  const empties = [undefined, {}, { id: {} }, { AND: [] }, { OR: [] }, { AND: [{}] }, { OR: [{}, {}] }, { NOT: {} }, { id: { notIn: [] } }, { id: { not: [] } }, { id: { mode: 'insensitive' } }, { OR: [{ id: 1 }, {}] }, null, []];
  test('nothing that means every row is accepted', async () => {
    const t = await table('id int PRIMARY KEY, n int');
    await t.insert({ id: 1, n: 1 });
    await t.insert({ id: 2, n: 2 });
    for (const where of empties) {
      for (const operation of ['update', 'delete']) {
        const r = await http('POST', '/api/v1/db', { body: { operation, tableName: t.sqlName, options: { where, data: { n: 9 } } } });
        assert.equal(r.status, 400, `${operation} ${JSON.stringify(where)} -> ${r.text}`);
      }
    }
    assert.deepEqual(await t.find({ orderBy: { id: 'asc' } }), [{ id: 1, n: 1 }, { id: 2, n: 2 }]);
  });

  test('update without data, insert without data are 400', async () => {
    const t = await table('id int');
    for (const data of [undefined, {}, null, [], 'x']) {
      await rejects(t.update({ where: { id: 1 }, data }), 400);
      await rejects(t.insert(data), 400);
    }
  });
});

describe('errors', () => {
  test('unique and foreign keys are 409', async () => {
    const parent = await table('id int PRIMARY KEY, email text UNIQUE');
    const child = await table(`id int PRIMARY KEY, parent int REFERENCES ${parent.sqlName}`);
    await parent.insert({ id: 1, email: 'a' });
    await rejects(parent.insert({ id: 1 }), 409, 'unique_violation');
    await rejects(parent.insert({ id: 2, email: 'a' }), 409, 'unique_violation');
    await rejects(child.insert({ id: 1, parent: 7 }), 409, 'foreign_key_violation');
    await child.insert({ id: 1, parent: 1 });
    await rejects(parent.delete({ where: { id: 1 } }), 409, 'foreign_key_violation');
  });

  test('not-null, check and values out of range are 400 with codes', async () => {
    const t = await table('id int NOT NULL CHECK (id > 0), small smallint, name varchar(3)');
    await rejects(t.insert({ small: 1 }), 400, 'not_null_violation');
    await rejects(t.insert({ id: 0 }), 400, 'check_violation');
    await rejects(t.insert({ id: 1, small: 70000 }), 400, 'invalid_value');
    await rejects(t.insert({ id: 1, name: 'long' }), 400, 'invalid_value');
    await rejects(t.insert({ id: 'x' }), 400, 'invalid_value');
    await rejects(t.insert({ id: 1, nope: 1 }), 400, 'unknown_column');
    assert.equal(await t.count(), 0);
  });

  test('unknown tables, operations and options are 400', async () => {
    await rejects(client.db(unique('missing')).find(), 400, 'unknown_table');
    const t = await table('id int');
    for (const [body, code] of [
      [{}, undefined],
      [{ operation: 'find' }, undefined],
      [{ tableName: t.sqlName }, undefined],
      [{ operation: 'truncate', tableName: t.sqlName }, 'invalid_operation'],
      [{ operation: 'find', tableName: '' }, undefined],
      [{ operation: 'find', tableName: 'x'.repeat(200) }, 'invalid_identifier'],
      [{ operation: 'find', tableName: 'a\u0000b' }, 'invalid_identifier'],
      [{ operation: 'find', tableName: t.sqlName, options: [] }, undefined],
      [{ operation: 'find', tableName: t.sqlName, options: { include: { posts: true } } }, undefined],
      [{ operation: 'find', tableName: t.sqlName, options: { select: ['nope'] } }, 'unknown_column'],
      [{ operation: 'find', tableName: t.sqlName, options: { orderBy: { id: 'sideways' } } }, undefined],
      [{ operation: 'find', tableName: t.sqlName, options: { orderBy: { nope: 'asc' } } }, 'unknown_column'],
    ]) {
      const r = await http('POST', '/api/v1/db', { body });
      assert.equal(r.status, 400, `${JSON.stringify(body)} -> ${r.text}`);
      if (code) assert.equal(r.json.code, code, r.text);
      assert.ok(r.json.error);
    }
    const missing = await http('POST', '/api/v1/db', { body: {} });
    assert.equal(missing.json.error, 'Operation and tableName are required');
  });

  test('one failing statement does not touch those beside it', async () => {
    const t = await table('id int PRIMARY KEY');
    const results = await Promise.allSettled(Array.from({ length: 100 }, (_, i) => t.insert({ id: i % 50 })));
    assert.equal(results.filter((r) => r.status === 'fulfilled').length, 50);
    for (const r of results.filter((x) => x.status === 'rejected')) assert.equal(r.reason.status, 409);
    assert.equal(await t.count(), 50);
  });

  test('other projects\' tables do not exist here', async () => {
    const t = await table('id int');
    await rejects(otherProject().db(t.sqlName).find(), 400, 'unknown_table');
    for (const name of ['pg_class', 'pg_catalog.pg_class', 'information_schema.tables', 'raymesh_auth.users', 'users; DROP TABLE x'])
      await rejects(client.db(name).find(), 400);
  });
});

describe('migrate', () => {
  test('runs every statement or none', async () => {
    const name = unique('m');
    const good = await client.db.migrate({ sql: `CREATE TABLE ${name} (id int); INSERT INTO ${name} VALUES (1), (2); CREATE INDEX ON ${name} (id);` });
    assert.deepEqual(good, { success: true, executedStatements: 3, warnings: [] });
    const bad = await http('POST', '/api/v1/db/migrate', { body: { sql: `INSERT INTO ${name} VALUES (3); SELECT nonsense FROM nowhere` } });
    assert.equal(bad.status, 400);
    assert.equal(bad.json.success, false);
    assert.match(bad.json.error, /nowhere|nonsense/);
    assert.equal(await client.db(name).count(), 2);
  });

  test('notices come back as warnings', async () => {
    const r = await client.db.migrate({ sql: `DROP TABLE IF EXISTS ${unique('absent')}` });
    assert.equal(r.success, true);
    assert.equal(r.warnings.length, 1);
    assert.match(r.warnings[0], /does not exist/);
  });

  test('functions, triggers, views and quoted semicolons are one statement each', async () => {
    const name = unique('m');
    const sql = `
      CREATE TABLE ${name} (id int, note text DEFAULT 'a;b');
      CREATE FUNCTION ${name}_f() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.note := 'x;' || NEW.note; RETURN NEW; END $$;
      CREATE TRIGGER tr BEFORE INSERT ON ${name} FOR EACH ROW EXECUTE FUNCTION ${name}_f();
      CREATE VIEW ${name}_v AS SELECT id, note FROM ${name} -- a comment; not a statement
    `;
    const r = await client.db.migrate({ sql });
    assert.equal(r.executedStatements, 4);
    await client.db(name).insert({ id: 1 });
    assert.deepEqual(await client.db(`${name}_v`).find(), [{ id: 1, note: 'x;a;b' }]);
  });

  test('empty and missing sql are 400', async () => {
    for (const body of [{}, { sql: '' }, { sql: 5 }]) {
      const r = await http('POST', '/api/v1/db/migrate', { body });
      assert.equal(r.status, 400);
      assert.equal(r.json.error, 'sql is required');
    }
  });

  const forbidden = ['BEGIN', 'COMMIT', 'ROLLBACK', 'SAVEPOINT a', 'SET ROLE postgres', 'RESET ROLE', 'SET SESSION AUTHORIZATION postgres', 'CREATE ROLE evil', 'ALTER ROLE CURRENT_USER SUPERUSER', 'DROP ROLE postgres', "COPY (SELECT 1) TO '/tmp/x'", "COPY (SELECT 1) TO PROGRAM 'id'", 'ALTER SYSTEM SET work_mem = 1', 'CREATE DATABASE x', 'PREPARE TRANSACTION \'x\''];
  for (const sql of forbidden)
    test(`${sql} is refused with a code`, async () => {
      const name = unique('m');
      const r = await http('POST', '/api/v1/db/migrate', { body: { sql: `CREATE TABLE ${name} (id int); ${sql}` } });
      assert.equal(r.status, 400, r.text);
      assert.equal(r.json.code, 'forbidden_statement', r.text);
      assert.equal(r.json.success, false);
      await rejects(client.db(name).find(), 400, 'unknown_table');
    });

  test('a changed column type is seen by the next query', async () => {
    const t = await table('id int PRIMARY KEY, v int');
    await t.insert({ id: 1, v: 5 });
    assert.deepEqual(await t.findFirst({ where: { v: 5 } }), { id: 1, v: 5 });
    await client.db.migrate({ sql: `ALTER TABLE ${t.sqlName} ALTER v TYPE text; ALTER TABLE ${t.sqlName} ADD w jsonb DEFAULT '[1]'` });
    assert.deepEqual(await t.findFirst({ where: { v: '5' } }), { id: 1, v: '5', w: [1] });
    await client.db.migrate({ sql: `DROP TABLE ${t.sqlName}` });
    await rejects(t.find(), 400, 'unknown_table');
  });
});

test('a write with an Idempotency-Key is done once', async () => {
  const t = await table('id serial PRIMARY KEY, name text');
  const key = unique('key');
  const send = (name, headers = { 'idempotency-key': key }) => http('POST', '/api/v1/db', { body: { operation: 'insert', tableName: t.sqlName, options: { data: { name } } }, headers });
  const [first, ...others] = await Promise.all([1, 2, 3, 4].map(() => send('ada')));
  assert.equal(first.status, 200);
  for (const r of others) assert.deepEqual([r.status, r.json], [200, first.json]);
  const other = await send('bob');
  assert.deepEqual([other.status, other.json.code], [409, 'idempotency_conflict']);
  assert.equal((await send('ada', { 'idempotency-key': 'x'.repeat(256) })).json.code, 'invalid_request');
  const publish = await http('POST', '/api/v1/realtime/publish', { body: { channel: 'c', payload: 1 }, headers: { 'idempotency-key': key } });
  assert.deepEqual([publish.status, publish.json.code], [400, 'idempotency_unsupported']);
  assert.equal((await http('POST', '/api/v1/db', { body: { operation: 'count', tableName: t.sqlName, options: {} }, headers: { 'idempotency-key': key } })).json.data, 1);

  // A user's keys are the user's.
  const user = { email: `${unique('ada')}@example.com`, password: 'correct horse battery' };
  await client.auth.signup(user);
  const headers = { 'idempotency-key': key, 'x-access-token': (await client.auth.login(user)).tokens.AccessToken };
  const hers = await send('bob', headers);
  assert.equal(hers.status, 200, hers.text);
  assert.notDeepEqual(hers.json, first.json);
  assert.deepEqual((await send('bob', headers)).json, hers.json);
  assert.deepEqual((await send('ada')).json, first.json);
  const nobody = await send('ada', { 'idempotency-key': key, 'x-access-token': 'not.a.token' });
  assert.deepEqual([nobody.status, nobody.json.code], [401, 'invalid_token']);
});
