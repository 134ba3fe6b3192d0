// Checks the configuration against the binaries: every key of raymesh.yaml, every argument and every
// RAYMESH_ variable of a manifest is an option in the --help of the program that will read it.
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import yaml from 'js-yaml';
import { podSpec } from './manifests.mjs';
import { mountedFiles, stores } from './rules.mjs';

/** The options of a program from its --help: `{flags, variables}`, with the -file forms of secrets. */
export function parseHelp(text) {
  const flags = new Set(['config', 'help', 'version']);
  const variables = new Set(['RAYMESH_CONFIG']);
  let secret = false;
  for (const line of text.split('\n')) {
    const flag = /^ {2}--([a-z0-9-]+)/.exec(line);
    if (flag) flags.add(flag[1]);
    const file = /--([a-z0-9-]+-file)\b/.exec(line);
    if (file) {
      flags.add(file[1]);
      secret = true;
    }
    const variable = /\b(RAYMESH_[A-Z0-9_]+)$/.exec(line);
    if (variable) {
      variables.add(variable[1]);
      if (secret) variables.add(`${variable[1]}_FILE`);
      secret = false;
    }
  }
  return { flags, variables };
}

/** A function that gives the options of a program, asked once. `words` come before --help. */
export function helpOf(bin) {
  const known = new Map();
  return (program, words = []) => {
    const key = [program, ...words].join(' ');
    if (!known.has(key)) {
      const done = spawnSync(join(bin, program), [...words, '--help'], { encoding: 'utf8', env: {} });
      if (done.status !== 0) throw new Error(`${key} --help: ${done.error?.message ?? done.stderr}`);
      known.set(key, parseHelp(done.stdout));
    }
    return known.get(key);
  };
}

const programOf = (container) => container.image.split('/').pop().split(':')[0];

/** The sections of a configuration file: what is not a common key. */
const sectionsOf = (config) => Object.keys(config).filter((key) => typeof config[key] === 'object' && !Array.isArray(config[key]));

/** Keys of a configuration file (called `name` in messages) that its service does not know. */
export function configProblems(name, config, help) {
  const sections = sectionsOf(config);
  const common = Object.keys(config).filter((key) => !sections.includes(key));
  return sections.flatMap((section) => {
    const { flags } = help(`raymesh-${section}`);
    return [...common, ...Object.keys(config[section])]
      .filter((key) => !flags.has(key))
      .map((key) => `${name}: ${section}: raymesh-${section} has no option ${key}`);
  });
}

/** The same for every yaml block of a document. */
export function documentProblems(name, markdown, help) {
  return [...markdown.matchAll(/^```yaml\n(.*?)^```/gms)].flatMap(([, block]) => configProblems(name, yaml.load(block), help));
}

export function optionProblems(folder, help) {
  const { manifests, config } = folder;
  const known = stores(folder);
  const sections = sectionsOf(config);
  const programs = new Set(manifests.filter((m) => m.kind === 'Deployment').flatMap((m) => podSpec(m).containers.map(programOf)));
  const strangers = sections.filter((section) => !programs.has(`raymesh-${section}`));
  if (strangers.length > 0) return strangers.map((section) => `raymesh.yaml: no Deployment runs the section ${section}`);
  const problems = configProblems('raymesh.yaml', config, help);
  for (const manifest of manifests.filter(podSpec)) {
    for (const container of podSpec(manifest).containers) {
      const program = programOf(container);
      const words = (container.args ?? []).filter((a) => !a.startsWith('-'));
      const { flags, variables } = help(program, words);
      const files = mountedFiles(manifest, known);
      const needs = (path, who) => {
        if (path?.startsWith?.('/etc/raymesh/') && !files.has(path)) problems.push(`${manifest}: ${who}: no volume puts a file at ${path}`);
      };
      for (const argument of (container.args ?? []).filter((a) => a.startsWith('-'))) {
        const [name, value] = argument.replace(/^--/, '').split('=');
        if (!flags.has(name)) problems.push(`${manifest}: ${program} has no option --${name}`);
        needs(value, argument);
      }
      for (const { name } of container.env ?? []) {
        if (name.startsWith('RAYMESH_') && !variables.has(name)) problems.push(`${manifest}: ${program} does not know the variable ${name}`);
      }
      if (!(container.args ?? []).some((a) => a.startsWith('--config='))) continue;
      const section = program.replace('raymesh-', '');
      const settings = { ...Object.fromEntries(Object.entries(config).filter(([key]) => !sections.includes(key))), ...config[section] };
      for (const [key, value] of Object.entries(settings)) needs(value, `raymesh.yaml: ${key}`);
      const listens = (container.ports ?? []).map((p) => p.containerPort);
      for (const key of Object.keys(settings).filter((k) => k === 'listen' || k.endsWith('-listen'))) {
        if (!listens.includes(Number(settings[key].split(':').pop()))) problems.push(`${manifest}: no port for ${key}: ${settings[key]}`);
      }
    }
  }
  return problems;
}
