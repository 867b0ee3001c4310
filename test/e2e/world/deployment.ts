/** What a deployer and a workload owner prepare: the guest's pair, a signing key, a contract sealed for a guest. */
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { GuestFiles } from '../guest/tree.ts';
import type { KeyService } from './key-service.ts';
import { triseedDone } from './triseed.ts';

export interface VolumeText {
  readonly key: string;
  readonly mount: string;
  /** Absent when the env half takes its seed from elsewhere, which `env` then says. */
  readonly envSeed?: string;
  readonly workloadSeed: string;
  readonly filesystem?: string;
  readonly kms?: readonly { readonly crn: string; readonly apiKey: string }[];
  readonly kmsTimeout?: number;
  /** Further lines of the env half, already YAML, such as `volumeName: other`. */
  readonly env?: readonly string[];
  /** The same of the workload half. */
  readonly workload?: readonly string[];
  /** Our own setting triseed.volumes.KEY.intent, put into the env section. */
  readonly intent?: 'auto' | 'open' | 'create';
}

const indent = (lines: readonly string[], by: number): readonly string[] => lines.map((line) => ' '.repeat(by) + line);

const envVolume = (volume: VolumeText): readonly string[] => [
  `${volume.key}:`,
  ...indent(
    [
      ...(volume.envSeed === undefined ? [] : [`seed: ${JSON.stringify(volume.envSeed)}`]),
      ...(volume.kmsTimeout === undefined ? [] : [`kmsTimeout: ${volume.kmsTimeout}`]),
      ...(volume.kms === undefined ? [] : ['kms:']),
      ...(volume.kms ?? []).flatMap(({ crn, apiKey }) => [
        `  - crn: ${JSON.stringify(crn)}`,
        `    apiKey: ${JSON.stringify(apiKey)}`,
      ]),
      ...(volume.env ?? []),
    ],
    2,
  ),
];

const workloadVolume = (volume: VolumeText): readonly string[] => [
  `${volume.key}:`,
  ...indent(
    [
      `seed: ${JSON.stringify(volume.workloadSeed)}`,
      `mount: ${volume.mount}`,
      ...(volume.filesystem === undefined ? [] : [`filesystem: ${volume.filesystem}`]),
      ...(volume.workload ?? []),
    ],
    2,
  ),
];

const intents = (volumes: readonly VolumeText[]): readonly string[] => {
  const given = volumes.flatMap(({ key, intent }) => (intent === undefined ? [] : [`${key}: { intent: ${intent} }`]));
  return given.length === 0 ? [] : ['triseed:', ...indent(['volumes:', ...indent(given, 2)], 2)];
};

/** A plain contract as a person would write it. */
export const contractText = (volumes: readonly VolumeText[]): string =>
  [
    'workload: |',
    ...indent(['type: workload', 'play: {}'], 2),
    ...(volumes.length === 0 ? [] : indent(['volumes:', ...indent(volumes.flatMap(workloadVolume), 2)], 2)),
    'env: |',
    ...indent(
      ['type: env', 'logging:', '  logRouter:', '    hostname: logs.example', '    iamApiKey: none-needed-here'],
      2,
    ),
    ...(volumes.length === 0 ? [] : indent(['volumes:', ...indent(volumes.flatMap(envVolume), 2)], 2)),
    ...indent(intents(volumes), 2),
    '',
  ].join('\n');

export class Deployment {
  readonly folder: string;
  #sealed = 0;

  constructor(folder: string) {
    this.folder = folder;
    mkdirSync(folder, { recursive: true });
  }

  path(name: string): string {
    return join(this.folder, name);
  }

  /** The guest's pair (`triseed contract keygen`) and the deployer's signing key (openssl). Made once. */
  async makeKeys(): Promise<void> {
    if (existsSync(this.path('guest.crt'))) return;
    const signer = this.path('signer.pem');
    execFileSync('openssl', ['genpkey', '-algorithm', 'RSA', '-pkeyopt', 'rsa_keygen_bits:3072', '-out', signer], {
      stdio: 'ignore',
    });
    await triseedDone(
      'contract',
      'keygen',
      '--out-key',
      this.path('guest-key.pem'),
      '--out-cert',
      this.path('guest.crt'),
    );
  }

  /** Writes and seals a contract; answers the user data. `options` are further arguments of `triseed contract seal`. */
  async seal(text: string, ...options: readonly string[]): Promise<string> {
    this.#sealed += 1;
    const file = this.path(`contract${this.#sealed === 1 ? '' : `-${this.#sealed}`}.yaml`);
    writeFileSync(file, text, { mode: 0o600 });
    const keys = ['--cert', this.path('guest.crt'), '--key', this.path('signer.pem')];
    return triseedDone('contract', 'seal', file, ...keys, ...options);
  }

  /** /etc/triseed of the guest: configuration, contract key, the authority of the key service. */
  guestFiles(
    service: KeyService | null,
    settings: {
      readonly pollSeconds?: number;
      /** Default off. */
      readonly remoteLogging?: 'required' | 'off';
      /** Default by address. */
      readonly serviceUrl?: string;
      /** Further lines of the configuration, from its left margin on. */
      readonly extra?: string;
      /** Base URLs of further instances. */
      readonly endpoints?: Readonly<Record<string, string>>;
    } = {},
  ): GuestFiles {
    const url = settings.serviceUrl ?? service?.urlInGuest ?? '';
    const kms =
      service === null
        ? []
        : [
            'kms:',
            `  iam: ${url}`,
            `  endpoints: ${JSON.stringify({ [service.instance]: url, ...settings.endpoints })}`,
            '  ca: [ /etc/triseed/ca.pem ]',
            `  pollSeconds: ${settings.pollSeconds ?? 60}`,
          ];
    const configuration = [
      'contract:',
      '  sources: [ { nocloud: cidata } ]',
      '  key: /etc/triseed/contract-key.pem',
      ...kms,
      // Contracts of these guests name a log server that does not exist, unless the case is about one.
      `logging: { remote: ${settings.remoteLogging ?? 'off'}, waitSeconds: 20 }`,
      settings.extra ?? '',
      '',
    ];
    return {
      '/etc/triseed/agent.yaml': configuration.join('\n'),
      '/etc/triseed/contract-key.pem': { content: readFileSync(this.path('guest-key.pem')), mode: 0o600 },
      ...(service === null ? {} : { '/etc/triseed/ca.pem': readFileSync(service.caFile, 'latin1') }),
    };
  }
}
