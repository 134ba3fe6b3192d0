// Reads the manifests of a folder: every YAML document with the place it comes from.
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import yaml from 'js-yaml';

/** Files of the folder that are not Kubernetes objects. */
export const OTHER_FILES = new Set(['kustomization.yaml', 'raymesh.yaml']);

/** A document: `file` (name in the folder), `object`, and a name for messages. */
export class Manifest {
  constructor(file, object) {
    this.file = file;
    this.object = object;
  }
  get kind() {
    return this.object.kind;
  }
  get name() {
    return this.object.metadata?.name ?? this.object.metadata?.generateName ?? '(no name)';
  }
  toString() {
    return `${this.file}: ${this.kind} ${this.name}`;
  }
}

/** `{manifests, kustomization, config, files}` of a folder like deploy/k8s. */
export function readFolder(folder) {
  const files = readdirSync(folder).filter((f) => f.endsWith('.yaml')).sort();
  const text = (file) => readFileSync(join(folder, file), 'utf8');
  const manifests = files
    .filter((file) => !OTHER_FILES.has(file))
    .flatMap((file) => yaml.loadAll(text(file)).filter((object) => object !== null).map((object) => new Manifest(file, object)));
  return { files, manifests, kustomization: yaml.load(text('kustomization.yaml')), config: yaml.load(text('raymesh.yaml')) };
}

/** The pod template of an object that makes pods, or undefined. */
export function podSpec(manifest) {
  return manifest.object.spec?.template?.spec;
}
