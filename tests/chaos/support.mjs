// A writer that never stops and remembers exactly what was acknowledged: the witness of every fault test.
import assert from 'node:assert/strict';

/** Keeps `parallel` inserts of rising ids in flight until stopped; every answer is kept. */
export class Witness {
  constructor(url, apiKey, table, parallel = 8) {
    this.url = url;
    this.apiKey = apiKey;
    this.table = table;
    this.acknowledged = new Set();
    this.answers = [];
    this.next = 1;
    this.running = true;
    this.workers = Array.from({ length: parallel }, () => this.#work());
  }

  async #work() {
    while (this.running) {
      const id = this.next++;
      const answer = await this.call({ operation: 'insert', tableName: this.table, options: { data: { id } } });
      this.answers.push(answer);
      if (answer.status === 200) this.acknowledged.add(id);
    }
  }

  async call(body) {
    try {
      const response = await fetch(`${this.url}/api/v1/db`, {
        method: 'POST',
        headers: { authorization: `Bearer ${this.apiKey}`, 'content-type': 'application/json' },
        body: JSON.stringify(body),
        signal: AbortSignal.timeout(15_000),
      });
      const text = await response.text();
      let json;
      try {
        json = JSON.parse(text);
      } catch {
        json = undefined;
      }
      return { status: response.status, code: json?.code, json, at: Date.now() };
    } catch (error) {
      return { status: 0, code: error.name, at: Date.now() };
    }
  }

  async stop() {
    this.running = false;
    await Promise.all(this.workers);
  }

  /** Statuses with their codes and how often, of the answers since `from`. */
  tally(from = 0) {
    const counts = {};
    for (const a of this.answers.slice(from)) {
      const key = a.status === 200 ? '200' : `${a.status} ${a.code}`;
      counts[key] = (counts[key] ?? 0) + 1;
    }
    return counts;
  }

  /** Every acknowledged row is there, exactly once; unacknowledged ones may be. */
  async assertNothingLost() {
    const found = new Set();
    for (let offset = 0; ; offset += 1000) {
      const page = await this.call({ operation: 'find', tableName: this.table, options: { orderBy: { id: 'asc' }, limit: 1000, offset } });
      assert.equal(page.status, 200, JSON.stringify(page));
      for (const row of page.json.data) found.add(row.id);
      if (page.json.data.length < 1000) break;
    }
    const lost = [...this.acknowledged].filter((id) => !found.has(id));
    assert.deepEqual(lost, [], `${lost.length} acknowledged rows are gone`);
  }
}
