// What the API's types cannot say: that names refer to something, that pods are locked down, that a
// clean stop fits its grace period, that only the gateway and a service's own nodes reach the gRPC ports.
import { podSpec } from './manifests.mjs';

const GRPC_PORTS = [5001, 5002, 5003, 5004];
const SECRET_MODE = 0o440;

/** Milliseconds of a duration as in libs/config ("5s"). */
export function milliseconds(text) {
  const match = /^(\d+)(ms|s|m|h)$/.exec(text ?? '');
  if (!match) throw new Error(`"${text}" is not a duration`);
  return Number(match[1]) * { ms: 1, s: 1000, m: 60_000, h: 3_600_000 }[match[2]];
}

const matches = (labels, selector) =>
  Object.entries(selector?.matchLabels ?? {}).every(([key, value]) => labels?.[key] === value) &&
  (selector?.matchExpressions ?? []).every((e) => e.operator === 'In' && e.values.includes(labels?.[e.key]));

function* lockdown(manifest) {
  const pod = podSpec(manifest);
  const wants = [
    [pod.automountServiceAccountToken === false, 'automountServiceAccountToken must be false'],
    [pod.enableServiceLinks === false, 'enableServiceLinks must be false'],
    [pod.securityContext?.runAsNonRoot === true, 'securityContext.runAsNonRoot must be true'],
    [pod.securityContext?.seccompProfile?.type === 'RuntimeDefault', 'seccompProfile must be RuntimeDefault'],
    [pod.securityContext?.fsGroup > 0, 'fsGroup must be set, or the pod cannot read its secrets'],
  ];
  for (const container of pod.containers) {
    const context = container.securityContext ?? {};
    wants.push(
      [context.allowPrivilegeEscalation === false, `${container.name}: allowPrivilegeEscalation must be false`],
      [context.readOnlyRootFilesystem === true, `${container.name}: readOnlyRootFilesystem must be true`],
      [context.capabilities?.drop?.includes('ALL'), `${container.name}: capabilities must drop ALL`],
      [container.resources?.requests?.cpu && container.resources?.requests?.memory, `${container.name}: resources.requests are missing`],
      [container.resources?.limits?.memory, `${container.name}: resources.limits.memory is missing`],
    );
  }
  for (const [fine, problem] of wants) if (!fine) yield problem;
}

function* references(manifest, { secrets, configMaps }) {
  const pod = podSpec(manifest);
  const volumes = new Map((pod.volumes ?? []).map((volume) => [volume.name, volume]));
  for (const volume of volumes.values()) {
    if (volume.secret && !secrets.has(volume.secret.secretName)) yield `there is no Secret ${volume.secret.secretName}`;
    if (volume.secret && volume.secret.defaultMode !== SECRET_MODE) yield `volume ${volume.name}: defaultMode must be ${SECRET_MODE} (0440 in octal)`;
    if (volume.configMap && !configMaps.has(volume.configMap.name)) yield `there is no ConfigMap ${volume.configMap.name}`;
  }
  for (const container of pod.containers) {
    for (const mount of container.volumeMounts ?? []) {
      if (!volumes.has(mount.name)) yield `${container.name}: there is no volume ${mount.name}`;
      if (mount.readOnly !== true) yield `${container.name}: the mount ${mount.name} must be readOnly`;
      volumes.get(mount.name) && (volumes.get(mount.name).used = true);
    }
    const ports = new Set((container.ports ?? []).map((port) => port.name));
    for (const probe of ['startupProbe', 'livenessProbe', 'readinessProbe']) {
      if (manifest.kind !== 'Deployment') continue;
      if (!container[probe]) yield `${container.name}: ${probe} is missing`;
      else if (!ports.has(container[probe].httpGet?.port)) yield `${container.name}: ${probe}: there is no port ${container[probe].httpGet?.port}`;
    }
  }
  for (const volume of volumes.values()) {
    if (!volume.used) yield `volume ${volume.name} is not mounted`;
    delete volume.used;
  }
}

/** The files below the mounts of a pod, by path: what its secrets and config maps put there. */
export function mountedFiles(manifest, { secrets, configMaps }) {
  const files = new Set();
  const pod = podSpec(manifest);
  for (const container of pod.containers) {
    for (const mount of container.volumeMounts ?? []) {
      const volume = pod.volumes.find((v) => v.name === mount.name);
      const keys = secrets.get(volume?.secret?.secretName) ?? configMaps.get(volume?.configMap?.name) ?? [];
      if (mount.subPath) files.add(mount.mountPath);
      else for (const key of keys) files.add(`${mount.mountPath}/${key}`);
    }
  }
  return files;
}

function* selectors(manifests) {
  const deployments = manifests.filter((m) => m.kind === 'Deployment');
  const pods = manifests.filter(podSpec).map((m) => ({ labels: m.object.spec.template.metadata.labels, containers: podSpec(m).containers }));
  for (const m of deployments) {
    if (!matches(m.object.spec.template.metadata.labels, m.object.spec.selector)) yield `${m}: the selector does not match its own pods`;
  }
  for (const m of manifests) {
    const { spec } = m.object;
    if (m.kind === 'Service') {
      const selected = pods.filter((pod) => matches(pod.labels, { matchLabels: spec.selector }));
      if (selected.length === 0) yield `${m}: the selector matches no pod`;
      for (const port of spec.ports) {
        const target = selected.flatMap((pod) => pod.containers.flatMap((c) => c.ports ?? [])).find((p) => p.name === port.targetPort);
        if (!target) yield `${m}: no pod has a port named ${port.targetPort}`;
        else if (spec.clusterIP === 'None' && target.containerPort !== port.port) yield `${m}: headless, so port ${port.port} must be the container's ${target.containerPort}`;
      }
      if (spec.ports.some((p) => GRPC_PORTS.includes(p.port)) && spec.clusterIP !== 'None') yield `${m}: a Service for gRPC must be headless`;
    }
    if (m.kind === 'PodDisruptionBudget' && !pods.some((pod) => matches(pod.labels, spec.selector))) yield `${m}: the selector matches no pod`;
    if (m.kind === 'NetworkPolicy') {
      const named = Object.keys(spec.podSelector).length > 0;
      if (named && !pods.some((pod) => matches(pod.labels, spec.podSelector))) yield `${m}: the podSelector matches no pod`;
      for (const value of (spec.podSelector.matchExpressions ?? []).flatMap((e) => e.values)) {
        if (!pods.some((pod) => Object.values(pod.labels).includes(value))) yield `${m}: no pod is labelled ${value}`;
      }
    }
    if (m.kind === 'HorizontalPodAutoscaler') {
      const target = deployments.find((d) => d.name === spec.scaleTargetRef.name);
      if (!target) yield `${m}: there is no Deployment ${spec.scaleTargetRef.name}`;
      else if (target.object.spec.replicas !== undefined) yield `${target}: replicas belongs to its HorizontalPodAutoscaler`;
    }
  }
  for (const m of deployments) {
    if (!manifests.some((b) => b.kind === 'PodDisruptionBudget' && matches(m.object.spec.template.metadata.labels, b.object.spec.selector))) {
      yield `${m}: has no PodDisruptionBudget`;
    }
  }
}

function* network(manifests) {
  const policies = manifests.filter((m) => m.kind === 'NetworkPolicy').map((m) => m.object);
  const denies = policies.some((p) => Object.keys(p.spec.podSelector).length === 0 && !p.spec.ingress && p.spec.policyTypes.includes('Ingress') && p.spec.policyTypes.includes('Egress') && !p.spec.egress);
  if (!denies) yield 'NetworkPolicy: there is none that denies everything by default';
  const isGrpc = (port) => port.port === undefined || port.port === 'grpc' || GRPC_PORTS.includes(port.port);
  for (const p of policies) {
    for (const rule of p.spec.ingress ?? []) {
      if (rule.ports && !rule.ports.some(isGrpc)) continue;
      // The gateway, and a service's own nodes, which may look for each other.
      const own = p.spec.podSelector?.matchLabels?.['app.kubernetes.io/name'];
      const allowed = (name) => name === 'raymesh-gateway' || (name !== undefined && name === own);
      const gatewayOnly = rule.from?.length > 0 && rule.from.every((peer) => allowed(peer.podSelector?.matchLabels?.['app.kubernetes.io/name']) && !peer.namespaceSelector && !peer.ipBlock);
      if (!gatewayOnly) yield `NetworkPolicy ${p.metadata.name}: lets others than the gateway reach gRPC ports`;
    }
  }
}

// What a service listens on is of use to nobody without a Service and a hole in the network policies.
function* exposed(manifests, config) {
  const named = (kind) => manifests.filter((m) => m.kind === kind).map((m) => m.object);
  for (const [section, options] of Object.entries(config)) {
    const deployment = named('Deployment').find((d) => d.metadata.name === `raymesh-${section}`);
    if (!deployment) continue;
    const { labels } = deployment.spec.template.metadata;
    const ports = deployment.spec.template.spec.containers.flatMap((c) => c.ports ?? []);
    for (const [option, address] of Object.entries(options).filter(([name]) => name === 'listen' || name.endsWith('-listen'))) {
      const number = Number(String(address).split(':').at(-1));
      const port = ports.find((p) => p.containerPort === number);
      if (!port) continue; // options.mjs says so
      const services = named('Service').filter((s) => matches(labels, { matchLabels: s.spec.selector }));
      if (!services.some((s) => s.spec.ports.some((p) => p.targetPort === port.name))) yield `raymesh-${section}: no Service leads to port ${number} (${option})`;
      const policies = named('NetworkPolicy').filter((p) => Object.keys(p.spec.podSelector).length > 0 && matches(labels, p.spec.podSelector));
      const open = policies.some((p) => (p.spec.ingress ?? []).some((rule) => rule.ports?.some((r) => r.port === port.name || r.port === number)));
      if (!open) yield `raymesh-${section}: no NetworkPolicy lets anybody reach port ${number} (${option})`;
    }
  }
}

function* kustomize({ files, kustomization }) {
  const byHand = ['kustomization.yaml', 'raymesh.yaml', 'migrate.yaml', 'secrets.example.yaml'];
  const fields = ['apiVersion', 'kind', 'namespace', 'resources', 'configMapGenerator', 'images'];
  for (const field of Object.keys(kustomization)) if (!fields.includes(field)) yield `kustomization.yaml: ${field} is not checked by tests/deploy`;
  for (const file of kustomization.resources) if (!files.includes(file)) yield `kustomization.yaml: there is no ${file}`;
  for (const file of files) {
    if (!kustomization.resources.includes(file) && !byHand.includes(file)) yield `kustomization.yaml: ${file} is not among its resources`;
  }
}

/** Names and keys of the Secrets and ConfigMaps that exist or are documented in the examples. */
export function stores({ manifests, kustomization }) {
  const keys = (kind) =>
    new Map(manifests.filter((m) => m.kind === kind).map((m) => [m.name, Object.keys({ ...m.object.data, ...m.object.stringData })]));
  const configMaps = keys('ConfigMap');
  for (const generator of kustomization.configMapGenerator ?? []) configMaps.set(generator.name, generator.files);
  return { secrets: keys('Secret'), configMaps };
}

export function ruleProblems(folder) {
  const { manifests, config } = folder;
  const known = stores(folder);
  const problems = [...kustomize(folder), ...selectors(manifests), ...network(manifests), ...exposed(manifests, config)];
  const longest = (milliseconds(config['shutdown-delay']) + milliseconds(config.drain)) / 1000;
  for (const manifest of manifests.filter(podSpec)) {
    for (const problem of [...lockdown(manifest), ...references(manifest, known)]) problems.push(`${manifest}: ${problem}`);
    const grace = podSpec(manifest).terminationGracePeriodSeconds ?? 30;
    if (manifest.kind === 'Deployment' && grace < longest + 5) {
      problems.push(`${manifest}: terminationGracePeriodSeconds ${grace} is below shutdown-delay + drain + 5 s = ${longest + 5}`);
    }
  }
  return problems;
}
