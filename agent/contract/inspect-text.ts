/** An inspection for a person. */
import type { InspectedVolume, Inspection, SignatureState } from './inspect.ts';
import { patience } from './inspect-boots.ts';
import type { Finding } from './types.ts';

const listed = (names: readonly string[]): string => (names.length === 0 ? 'none' : names.join(', '));

const both = (ours: readonly string[] = [], theirs: readonly string[] = []): readonly string[] => [
  ...new Set([...ours, ...theirs]),
];

const isoSeconds = (date: Date): string =>
  Number.isNaN(date.getTime()) ? 'an unreadable time' : `${date.toISOString().slice(0, 19)}Z`;

const signatureLines = (signature: SignatureState): readonly string[] => {
  switch (signature.state) {
    case 'none':
      return ['signature    none: whoever delivers the contract can change or mix its sections'];
    case 'unknown':
      return [
        "signature    there is one; the key to check it lies inside env (give the guest's key with --decrypt-key)",
      ];
    case 'bad':
      return [`signature    NOT GOOD: ${signature.id} ${signature.reason}`];
    case 'good': {
      const { fingerprint, certificateNotAfter } = signature.signer;
      const end = certificateNotAfter === null ? 'never' : isoSeconds(certificateNotAfter);
      return [`signature    good, by ${fingerprint}`, `expires      ${end}`];
    }
  }
};

const sectionLine = (inspection: Inspection, name: 'workload' | 'env'): string => {
  const { form, isOpen, token } = inspection.sections[name];
  const sealed = token === null ? '' : `token ${token.prefix}, for an RSA-${token.recipientBits} key`;
  const how = form === 'token' ? sealed : form === 'nested' ? 'plain, as a mapping' : 'plain';
  return `${name.padEnd(13)}${how}${form === 'token' && isOpen ? ', opened' : ''}${isOpen ? '' : ': closed, nothing below is known of it'}`;
};

const contentLines = ({ workload, env, attestationPublicKey, serial }: Inspection): readonly string[] => [
  ...(serial === null ? [] : [`serial       ${serial}`]),
  ...(attestationPublicKey === null
    ? []
    : [`attestation  the record is encrypted for ${attestationPublicKey.fingerprint ?? 'a key inside a token'}`]),
  ...(env?.logging == null
    ? []
    : [`logs         ${env.logging.service} at ${env.logging.hostname}:${env.logging.port}`]),
  ...(workload === null
    ? []
    : [
        `runs         ${workload.kind ?? 'nothing'}`,
        ...workload.images.map(({ reference, isFixed }) => `image        ${reference}${isFixed ? '' : ' (no digest)'}`),
        ...(workload.trusted.length === 0 ? [] : [`signed by    ${listed(workload.trusted)}`]),
      ]),
  ...(workload === null && env === null
    ? []
    : [
        `registries   ${listed(both(workload?.registries, env?.registries))}`,
        `variables    ${listed(both(workload?.variables, env?.variables))}`,
      ]),
];

const halves = ({ env, workload }: InspectedVolume): string => {
  if (env === false) return 'MISSING in env';
  if (workload === false) return 'MISSING in workload';
  if (env === null || workload === null) {
    return `whether ${env === null ? 'env' : 'workload'} names it, too, is not known: ask its owner for the names of the volumes`;
  }
  return '';
};

const volumeLines = (volume: InspectedVolume): readonly string[] => {
  const { key, mount, filesystem, disk, intent, rolls, kms, kmsTimeoutMinutes, boots } = volume;
  const where = [mount, filesystem].filter((part) => part !== null).join(', ');
  const said = halves(volume);
  return [
    `volume ${key}${where === '' ? '' : `: ${where}`}${intent === 'auto' ? '' : `, intent ${intent}`}`,
    ...(said === '' ? [] : [`  ${said}`]),
    ...(disk === null ? [] : [`  disk with serial number ${disk.slice(0, 20)}`]),
    ...(rolls.length === 0 ? [] : [`  seed rolled in ${rolls.join(' and ')}`]),
    ...kms.map(
      ({ service, region, type, crn }, index) => `  root key ${index + 1}: ${service} in ${region}, ${type}, ${crn}`,
    ),
    ...(kmsTimeoutMinutes === null ? [] : [`  ${patience(kmsTimeoutMinutes)}`]),
    ...(boots.length === 0 ? [] : ['  at the next boot, when the disk is']),
    ...boots.map(({ disk: state, outcome, messages }) => `    ${state}: ${outcome} [${messages.join(' ')}]`),
  ];
};

const weakLines = (inspection: Inspection): readonly string[] => {
  const { findings, signature, volumes } = inspection;
  const said = findings
    .filter(({ severity }) => severity !== 'note')
    .map(
      ({ severity, id, path, message }: Finding) => `  ${severity} ${id}${path === '' ? '' : ` ${path}`}: ${message}`,
    );
  const unsigned = signature.state === 'none' ? ['  unsigned: triseed contract seal signs'] : [];
  const endless =
    signature.state === 'good' && signature.signer.certificateNotAfter === null
      ? ['  never expires: an old contract can be delivered again; --expires-days or triseed.serial prevent that']
      : [];
  const withoutKey = volumes
    .filter(({ kms, env }) => env === true && kms.length === 0)
    .map(({ key }) => `  volume ${key} opens without a root key: it cannot be revoked`);
  const open = Object.entries(inspection.sections)
    .filter(([, { form }]) => form !== 'token')
    .map(([name]) => `  ${name} is not encrypted: do not deliver it like this`);
  return [...said, ...unsigned, ...endless, ...withoutKey, ...open];
};

/** `name` is the document's name. */
export const renderInspection = (inspection: Inspection, name: string): string => {
  const weak = weakLines(inspection);
  const { workload, env } = inspection.sections;
  const isWhole = workload.isOpen && env.isOpen;
  const none = workload.isOpen || env.isOpen ? 'no volumes' : 'which volumes there are is not known';
  return [
    `${name}, by the rules of ${inspection.profile}`,
    sectionLine(inspection, 'workload'),
    sectionLine(inspection, 'env'),
    ...signatureLines(inspection.signature),
    ...contentLines(inspection),
    '',
    ...(inspection.volumes.length === 0 ? [none] : inspection.volumes.flatMap(volumeLines)),
    '',
    ...(weak.length === 0
      ? [`nothing weak was found${isWhole ? '' : ' in what can be looked into'}`]
      : ['what is weak', ...weak]),
    '',
  ].join('\n');
};
