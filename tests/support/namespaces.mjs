// A network namespace of Linux as a host of its own: a process in it is reached over links that can lose packets without a word, each way
// by itself, as a switch or a route that fails does. Needs root and iproute2.
import { randomBytes } from 'node:crypto';
import { run } from './processes.mjs';

const ip = (...args) => run('ip', args);
/** Nobody has it, so what is sent to it is lost. */
const kNobody = '02:00:00:00:00:99';

export class Host {
  #name;

  /** With so many links to it. */
  constructor(links) {
    const tag = randomBytes(2).toString('hex');
    this.#name = `rm-${tag}`;
    ip('netns', 'add', this.#name);
    this.links = [];
    try {
      ip('-n', this.#name, 'link', 'set', 'lo', 'up');
      // 198.18.0.0/15 is for tests of networks (RFC 2544).
      const net = parseInt(tag, 16) % 254;
      for (let i = 0; i < links; i++) this.links.push(new Link(this.#name, `rm${tag}${i}`, `198.19.${net}`, 4 * i));
    } catch (error) {
      this.stop();
      throw error;
    }
  }

  /** What comes before a command that is to run in it. */
  get prefix() {
    return ['ip', 'netns', 'exec', this.#name];
  }

  stop() {
    ip('netns', 'del', this.#name); // its links go with it
  }
}

/** A link between us and a host; `address` is the host's on it. */
class Link {
  #name;
  #device;
  #macs;

  constructor(name, device, net, first) {
    this.#name = name;
    this.#device = device;
    this.own = `${net}.${first + 1}`;
    this.address = `${net}.${first + 2}`;
    ip('link', 'add', device, 'type', 'veth', 'peer', 'name', 'x' + device, 'netns', name);
    ip('addr', 'add', `${this.own}/30`, 'dev', device);
    ip('-n', name, 'addr', 'add', `${this.address}/30`, 'dev', 'x' + device);
    ip('link', 'set', device, 'up');
    ip('-n', name, 'link', 'set', 'x' + device, 'up');
    const mac = (json) => JSON.parse(json)[0].address;
    this.#macs = { own: mac(ip('-j', 'link', 'show', 'dev', device)), theirs: mac(ip('-n', name, '-j', 'link', 'show', 'dev', 'x' + device)) };
    this.heal();
  }

  #to(mac) {
    ip('neigh', 'replace', this.address, 'lladdr', mac, 'dev', this.#device, 'nud', 'permanent');
  }

  #from(mac) {
    ip('-n', this.#name, 'neigh', 'replace', this.own, 'lladdr', mac, 'dev', 'x' + this.#device, 'nud', 'permanent');
  }

  /** Packets get lost: 'up', those to the host; 'down', those from it; 'both'. */
  stall(direction = 'both') {
    if (direction !== 'down') this.#to(kNobody);
    if (direction !== 'up') this.#from(kNobody);
  }

  /** As when somebody pulls the plug at the host. */
  unplug() {
    ip('-n', this.#name, 'link', 'set', 'x' + this.#device, 'down');
  }

  heal() {
    ip('-n', this.#name, 'link', 'set', 'x' + this.#device, 'up');
    this.#to(this.#macs.theirs);
    this.#from(this.#macs.own);
  }
}
