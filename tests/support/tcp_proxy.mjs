// A TCP link that can fail: between a process and its store, on loopback; on a thread of its own, so that a test that computes does not hold it up. `up` is from the one that connects to the target, `down` the way
// back. A stalled direction holds its bytes as a network does that drops packets: they arrive when it heals, unless somebody gives up.
import { connect, createServer } from 'node:net';
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads';

const kWays = { up: ['up'], down: ['down'], both: ['up', 'down'] };

/** Each call is answered when it has taken effect. */
export class TcpProxy {
  #calls = new Map();
  #last = 0;

  /** `target`: what net.connect takes, for example {port} or {path}. */
  static async start(target) {
    const p = new TcpProxy();
    p.worker = new Worker(new URL(import.meta.url), { workerData: { tcpProxyTo: target } });
    p.port = await new Promise((resolve, reject) => {
      p.worker.once('message', resolve);
      p.worker.once('error', reject);
    });
    p.worker.on('message', (number) => {
      p.#calls.get(number)();
      p.#calls.delete(number);
    });
    return p;
  }

  #call(name, ...args) {
    const number = ++this.#last;
    this.worker.postMessage({ number, name, args });
    return new Promise((resolve) => this.#calls.set(number, resolve));
  }

  /** Nothing gets through in this direction ('up', 'down' or 'both'); connections stay, new ones are accepted and are as silent. */
  stall(direction = 'both') {
    return this.#call('stall', direction);
  }

  delay(ms, direction = 'both') {
    return this.#call('delay', ms, direction);
  }

  /** Connections are reset, and new ones, too. */
  cut() {
    return this.#call('cut');
  }

  /** Connections are reset once. */
  reset() {
    return this.#call('reset');
  }

  /** The target's side of every connection is gone and the other side hears nothing, ever. New connections work. */
  halfOpen() {
    return this.#call('halfOpen');
  }

  /** Everything works again; what was held arrives now. */
  heal() {
    return this.#call('heal');
  }

  async stop() {
    await this.worker.terminate();
  }
}

/** What runs on the thread. */
class Proxy {
  #links = new Set();
  #stalled = { up: false, down: false };
  #delayMs = { up: 0, down: 0 };
  #cut = false;

  static async start(target) {
    const p = new Proxy();
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

  stall(direction) {
    for (const way of kWays[direction]) this.#stalled[way] = true;
  }

  delay(ms, direction) {
    for (const way of kWays[direction]) this.#delayMs[way] = ms;
  }

  cut() {
    this.#cut = true;
    this.reset();
  }

  reset() {
    for (const { near, far } of this.#links) {
      near.resetAndDestroy();
      far.destroy();
    }
    this.#links.clear();
  }

  halfOpen() {
    for (const link of this.#links) {
      link.dead = true;
      link.far.destroy();
    }
  }

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
}

if (!isMainThread && workerData?.tcpProxyTo) {
  const proxy = await Proxy.start(workerData.tcpProxyTo);
  parentPort.on('message', ({ number, name, args }) => {
    proxy[name](...args);
    parentPort.postMessage(number);
  });
  parentPort.postMessage(proxy.port);
}
