// Checks objects against the types of the Kubernetes API, without a cluster: the schemas of
// kubernetes-models find unknown kinds, missing and ill-typed fields; its TypeScript types find fields
// that do not exist.
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import ts from 'typescript';

const require = createRequire(import.meta.url);
const here = dirname(fileURLToPath(import.meta.url));

function model(manifest) {
  const { apiVersion, kind } = manifest.object;
  if (!/^[a-z0-9./-]+$/.test(apiVersion ?? '') || !/^[A-Za-z]+$/.test(kind ?? '')) return undefined;
  try {
    return require(`kubernetes-models/${apiVersion}/${kind}`)[kind];
  } catch {
    return undefined;
  }
}

function schemaProblems(manifest) {
  const Model = model(manifest);
  if (!Model) return [`${manifest}: there is no ${manifest.object.apiVersion} ${manifest.kind}`];
  try {
    new Model(manifest.object).validate();
    return [];
  } catch (error) {
    return [`${manifest}: ${error.message}`];
  }
}

/** "spec.template.spec.containers[0].imag" for a position in an object literal. */
function pathAt(source, position) {
  const path = [];
  const visit = (node) => {
    if (position < node.getStart(source) || position > node.getEnd()) return;
    if (ts.isPropertyAssignment(node)) path.push(`.${node.name.text}`);
    if (ts.isArrayLiteralExpression(node.parent ?? node)) {
      const index = node.parent?.elements?.indexOf(node) ?? -1;
      if (index >= 0) path.push(`[${index}]`);
    }
    ts.forEachChild(node, visit);
  };
  visit(source);
  return path.join('').replace(/^\./, '');
}

// The API's type declarations and the compiler's own, parsed once per process.
const parsed = new Map();

function typeProblems(manifests) {
  const name = join(here, 'manifests.generated.ts'); // never written: it resolves node_modules from here
  const lines = [];
  const owners = []; // the manifest of each line
  for (const [i, manifest] of manifests.entries()) {
    const { apiVersion, kind } = manifest.object;
    lines.push(`import type {I${kind} as T${i}} from 'kubernetes-models/${apiVersion}/${kind}';`);
    lines.push(`export const d${i}: T${i} = ${JSON.stringify(manifest.object)};`);
    owners.push(manifest, manifest);
  }
  const options = {
    strict: true, noEmit: true, skipLibCheck: true, types: [],
    target: ts.ScriptTarget.ES2022, module: ts.ModuleKind.ESNext, moduleResolution: ts.ModuleResolutionKind.Bundler,
  };
  const host = ts.createCompilerHost(options);
  const source = ts.createSourceFile(name, lines.join('\n'), ts.ScriptTarget.ES2022, true);
  const original = { getSourceFile: host.getSourceFile.bind(host), fileExists: host.fileExists.bind(host) };
  host.getSourceFile = (file, ...rest) => {
    if (file === name) return source;
    if (!parsed.has(file)) parsed.set(file, original.getSourceFile(file, ...rest));
    return parsed.get(file);
  };
  host.fileExists = (file) => file === name || original.fileExists(file);
  const program = ts.createProgram([name], options, host);
  return ts.getPreEmitDiagnostics(program, source).map((problem) => {
    const text = ts.flattenDiagnosticMessageText(problem.messageText, ' ').split('. ')[0];
    if (problem.start === undefined) return text;
    const { line } = source.getLineAndCharacterOfPosition(problem.start);
    return `${owners[line]}: ${pathAt(source, problem.start)}: ${text}`;
  });
}

export function apiProblems(manifests) {
  const known = manifests.filter((manifest) => model(manifest));
  return [...manifests.flatMap(schemaProblems), ...typeProblems(known)];
}
