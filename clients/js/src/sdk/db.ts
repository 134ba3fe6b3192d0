// client.db: `db.users.find()`, `db('users').find()`, `db.migrate({sql})`.
import type { CallOptions, Session } from '../session.js';

export type Row = Record<string, unknown>;
export interface QueryOptions {
  where?: Record<string, unknown>;
  select?: string[];
  orderBy?: Record<string, 'asc' | 'desc'>;
  limit?: number;
  offset?: number;
}
export interface MigrateResult {
  success: boolean;
  executedStatements?: number;
  warnings?: string[];
  error?: string;
}

/** A handle to one table. */
export class TableQuery {
  constructor(
    private readonly session: Session,
    private readonly tableName: string,
  ) {}

  private async run<T>(operation: string, options: object, call?: CallOptions): Promise<T> {
    const { data } = await this.session.call<{ data: T }>(`db.${operation}`, { tableName: this.tableName, options }, call);
    return data;
  }

  /** At most 1,000 rows a call. */
  find<T = Row>(options: QueryOptions = {}, call?: CallOptions): Promise<T[]> {
    return this.run('find', options, call);
  }
  findMany<T = Row>(options: QueryOptions = {}, call?: CallOptions): Promise<T[]> {
    return this.run('findMany', options, call);
  }
  findFirst<T = Row>(options: QueryOptions = {}, call?: CallOptions): Promise<T | null> {
    return this.run('findFirst', options, call);
  }
  findOne<T = Row>(options: QueryOptions = {}, call?: CallOptions): Promise<T | null> {
    return this.run('findOne', options, call);
  }
  insert(data: Row, call?: CallOptions): Promise<{ id: unknown }> {
    return this.run('insert', { data }, call);
  }
  update(input: { where: Record<string, unknown>; data: Row }, call?: CallOptions): Promise<{ count: number }> {
    return this.run('update', { where: input.where, data: input.data }, call);
  }
  delete(input: { where: Record<string, unknown> }, call?: CallOptions): Promise<{ count: number }> {
    return this.run('delete', { where: input.where }, call);
  }
  count(options: Pick<QueryOptions, 'where'> = {}, call?: CallOptions): Promise<number> {
    return this.run('count', options, call);
  }
}

export type DbClient = { readonly [table: string]: TableQuery } & {
  (table: string): TableQuery;
  migrate(input: { sql: string }, call?: CallOptions): Promise<MigrateResult>;
};

// As long as the gateway gives a migration.
const kMigrationMs = 60_000;

export function createDb(session: Session): DbClient {
  const table = (name: string): TableQuery => new TableQuery(session, name);
  const migrate = (input: { sql: string }, call?: CallOptions): Promise<MigrateResult> => session.call('db.migrate', { sql: input.sql }, { timeout: kMigrationMs, ...call });
  return new Proxy(table, {
    get(target, name, receiver) {
      if (name === 'migrate') return migrate;
      // `then` would make a promise of it.
      if (typeof name !== 'string' || name === 'then' || name in target) return Reflect.get(target, name, receiver);
      return table(name);
    },
  }) as DbClient;
}
