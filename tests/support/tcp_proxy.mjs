// A TCP link that can fail: between a process and its store, on loopback. `up` is from the one that connects to the target, `down` the way
// back. A stalled direction holds its bytes as a network does that drops packets: they arrive when it heals, unless somebody gives up.
import { connect, createServer } from 'node:net';

const kWays = { up: ['up'], down: ['down'], both: ['up', 'down'] };

export class TcpProxy {
  #links = new Set();
  #stalled = { up: false, down: false };
  #delayMs = { up: 0, down: 0 };
  #cut = false;

  /** `target`: what net.connect takes, for example {port} or {path}. */
  static async start(target) {
    const p = new TcpProxy();
    p.target = target;
    p.server = createServer({ noDelay: true }, (near) => p.#accept(near));
    await new Promise((resolve, reject) => p.server.once('error', reject).listen(0, '127.0.0.1', resolve));
    p.port = p.server.address().port;
    return p;
  }

  #accept(near) {
    if (this.#cut) return near.resetAndDestroy();
    const far = connect({ ...this.target, noDelay: true });
    const link = { near, far, dead: false, held: { up: [], down: [] } };
    this.#links.add(link);
    for (const [way, from, to] of [['up', near, far], ['down', far, near]]) {
      from.on('data', (data) => this.#carry(link, way, to, data));
      from.on('error', () => {});
      from.on('end', () => this.#carry(link, way, to, null));
      from.on('close', () => {
        if (link.dead || this.#stalled[way]) return; // the other end hears nothing of it
        to.destroy();
        this.#links.delete(link);
      });
    }
  }

  #carry(link, way, to, data) {
    if (link.dead) return;
    const held = link.held[way];
    if (this.#stalled[way] || (this.#delayMs[way] === 0 && held.length > 0)) held.push(data);
    else if (this.#delayMs[way] > 0) {
      held.push(data);
      setTimeout(() => !this.#stalled[way] && held.length > 0 && this.#put(to, held.shift()), this.#delayMs[way]);
    } else this.#put(to, data);
  }

  #put(to, data) {
    if (to.destroyed) return;
    if (data === null) to.end();
    else to.write(data);
  }

  /** Nothing gets through in this direction ('up', 'down' or 'both'); connections stay, new ones are accepted and are as silent. */
  stall(direction = 'both') {
    for (const way of kWays[direction]) this.#stalled[way] = true;
  }

  delay(ms, direction = 'both') {
    for (const way of kWays[direction]) this.#delayMs[way] = ms;
  }

  /** Connections are reset, and new ones, too. */
  cut() {
    this.#cut = true;
    this.reset();
  }

  /** Connections are reset once. */
  reset() {
    for (const { near, far } of this.#links) {
      near.resetAndDestroy();
      far.destroy();
    }
    this.#links.clear();
  }

  /** The target's side of every connection is gone and the other side hears nothing, ever. New connections work. */
  halfOpen() {
    for (const link of this.#links) {
      link.dead = true;
      link.far.destroy();
    }
  }

  /** Everything works again; what was held arrives now. */
  heal() {
    this.#cut = false;
    this.#stalled = { up: false, down: false };
    this.#delayMs = { up: 0, down: 0 };
    for (const link of this.#links)
      for (const [way, from, to] of [['up', link.near, link.far], ['down', link.far, link.near]]) {
        if (link.dead) continue;
        for (const data of link.held[way].splice(0)) this.#put(to, data);
        if (from.destroyed) to.destroy();
      }
  }

  get connections() {
    return this.#links.size;
  }

  async stop() {
    for (const { near, far } of this.#links) {
      near.destroy();
      far.destroy();
    }
    this.#links.clear();
    await new Promise((resolve) => this.server.close(resolve));
  }
}
