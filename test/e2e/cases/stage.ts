/** What several cases share: a folder, a running key service with root keys in every state, the guest's pair, sealed contracts. */
import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { switchedOffPath } from '../../../agent/logging/places.ts';
import { createGuest, type Guest, type GuestOptions } from '../guest/guest.ts';
import { createContractDisk, type Disk, openScratch, type Scratch } from '../guest/scratch.ts';
import type { GuestFiles } from '../guest/tree.ts';
import { contractText, Deployment, type VolumeText } from '../world/deployment.ts';
import { KeyService, type RootKey } from '../world/key-service.ts';

export interface KmsEntry {
  readonly crn: string;
  readonly apiKey: string;
}

/** An instance whose address in the guest has no listener. */
export const closedInstance = 'ffffffff-4e5f-4a6b-8c7d-9e0f1a2b3c4d';
const closedUrl = 'https://10.0.2.2:1';

/** A seed freshly wrapped by a root key, and its plain base64 text. */
export interface WrappedSeed {
  readonly wrapped: string;
  readonly seed3: string;
}

const systemUnits = '/etc/systemd/system';

/** systemd.unit(5): a unit that is masked cannot be started. */
const masked = (unit: string): GuestFiles => ({ [`${systemUnits}/${unit}`]: { linkTo: '/dev/null' } });

/** What the connectivity check leaves where remote logging is off, without the check. */
const noConnectivityCheck: GuestFiles = {
  [`${systemUnits}/triseed-network.service`]: `\
[Unit]
Before=triseed-logging.service triseed-boot.service
[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=install -D --mode=0600 /dev/null ${switchedOffPath('/run/triseed')}
`,
};

/** A start without the programs that few stories are about: each takes the guest's one processor for more than a second. */
const shortStart = (remoteLogging: 'required' | 'off', wantedUnits: readonly string[]): GuestFiles => ({
  ...(remoteLogging === 'off' ? noConnectivityCheck : {}),
  ...Object.assign(
    {},
    ...['triseed-notices.service', 'triseed-verify.timer'].filter((unit) => !wantedUnits.includes(unit)).map(masked),
  ),
});

export class Stage {
  readonly scratch: Scratch;
  readonly service: KeyService;
  readonly deployment: Deployment;
  readonly #keys = new Map<string, RootKey>();
  readonly #wrapped = new Map<string, Promise<WrappedSeed>>();
  readonly #scratches: Scratch[] = [];
  readonly #guests: Guest[] = [];
  readonly #label: string;
  #pieces = 0;

  constructor(label: string) {
    this.#label = label;
    this.scratch = openScratch(label);
    this.service = new KeyService(this.scratch.path('key-service'));
    this.deployment = new Deployment(this.scratch.path('deployment'));
  }

  /** Starts the key service and makes root keys with these names. */
  async open(...keys: readonly string[]): Promise<this> {
    await Promise.all([this.service.start(), this.deployment.makeKeys()]);
    for (const name of keys) await this.makeKey(name);
    return this;
  }

  /** One more root key; `options` are arguments of `triseed kms key create`. */
  async makeKey(name: string, ...options: readonly string[]): Promise<void> {
    this.#keys.set(name, await this.service.createRootKey(name, ...options));
  }

  key(name: string): RootKey {
    const key = this.#keys.get(name);
    if (key === undefined) throw new Error(`no root key ${name} was made`);
    return key;
  }

  entry(name: string, changes: Partial<KmsEntry> = {}): KmsEntry {
    return { crn: this.key(name).crn, apiKey: this.service.apiKey, ...changes };
  }

  /** A path for a throw-away file. */
  piece(): string {
    this.#pieces += 1;
    return this.scratch.path(`piece-${this.#pieces}`);
  }

  /** `triseed kms key wrap`: what a person does who makes a volume by hand. */
  async wrap(keyName: string): Promise<WrappedSeed> {
    const seedFile = this.piece();
    const wrapped = await this.service.key('wrap', this.key(keyName).id, `--seed-out=${seedFile}`);
    const seed3 = readFileSync(seedFile, 'latin1');
    rmSync(seedFile);
    return { wrapped: wrapped.trim(), seed3 };
  }

  /** One wrapped seed for each root key, however often it is asked for. */
  wrapOnce(keyName: string): Promise<WrappedSeed> {
    const known = this.#wrapped.get(keyName) ?? this.wrap(keyName);
    this.#wrapped.set(keyName, known);
    return known;
  }

  /** `triseed kms key unwrap`. */
  async unwrap(keyName: string, wrapped: string): Promise<string> {
    const files = { in: this.piece(), out: this.piece() };
    writeFileSync(files.in, wrapped);
    await this.service.key('unwrap', this.key(keyName).id, `--ciphertext-file=${files.in}`, `--seed-out=${files.out}`);
    const seed3 = readFileSync(files.out, 'latin1');
    for (const file of Object.values(files)) rmSync(file);
    return seed3;
  }

  /** A folder of its own for one guest: its disks and its contract. */
  folder(name: string): Scratch {
    const scratch = openScratch(`${this.#label}-${name}`);
    this.#scratches.push(scratch);
    return scratch;
  }

  /** A guest whose contract holds `volumes`. */
  async guest(
    scratch: Scratch,
    given: {
      readonly name: string;
      readonly volumes: readonly VolumeText[];
      readonly disks: readonly Disk[];
      /** The plain contract; default one that holds the volumes and no workload. */
      readonly contract?: string;
      /** Files beside it on its disk. */
      readonly seed?: { readonly metaData?: string; readonly vendorData?: string };
      readonly configuration?: string;
      /** Default as the agent's: with few seconds and a kmsTimeout of 0 a daemon that starts slowly has nothing left to ask in. */
      readonly pollSeconds?: number;
      readonly remoteLogging?: 'required' | 'off';
      /** The guest knows the key service by this URL. */
      readonly serviceUrl?: string;
      /** Whether connectivity is checked first, and notices of expiry and the hourly encryption check start, too. */
      readonly wholeStart?: boolean;
      readonly options?: Partial<GuestOptions>;
    },
  ): Promise<Guest> {
    const userData = await this.deployment.seal(given.contract ?? contractText(given.volumes));
    const { pollSeconds = 60, remoteLogging = 'off', configuration = 'volumes: { deviceWaitSeconds: 2 }' } = given;
    const files = this.deployment.guestFiles(this.service, {
      pollSeconds,
      remoteLogging,
      serviceUrl: given.serviceUrl ?? this.service.urlInGuest,
      extra: configuration,
      endpoints: { [closedInstance]: closedUrl },
    });
    const guest = createGuest(scratch, {
      hostname: given.name,
      disks: given.disks,
      contractDisk: createContractDisk(scratch, { ...given.seed, userData }),
      network: true,
      wantedUnits: ['triseed.target'],
      limitSeconds: 720,
      memoryMiB: 1024,
      ...given.options,
      files: {
        ...files,
        ...(given.wholeStart === true ? {} : shortStart(remoteLogging, given.options?.wantedUnits ?? [])),
        ...given.options?.files,
      },
    });
    this.#guests.push(guest);
    return guest;
  }

  /** Ends everything. The folders stay when `keep` is true, for a look at consoles and disks. */
  async close(keep = process.env.KEEP_GUESTS === '1'): Promise<void> {
    await Promise.all(this.#guests.map((guest) => guest.stop()));
    await this.service.stop();
    if (keep) return;
    for (const scratch of [this.scratch, ...this.#scratches]) scratch.remove();
  }
}
