/** The agent's own configuration, part of the measured image (design §12). contract-schema/agent.json is its schema. */
import type { Profile } from './contract/types.ts';

export type ContractSourceSetting =
  | { readonly nocloud: string }
  | { readonly credential: string }
  | { readonly file: string };

/** Old forms of LUKS that are opened only when `volumes.legacyProfiles` names them. */
export type LegacyProfile = 'luks1' | 'cbc-essiv';

export interface AgentConfiguration {
  readonly contract: {
    readonly sources: readonly ContractSourceSetting[];
    readonly key: string;
    /** Encryption certificate of the image, for notices about its end. */
    readonly certificate: string | null;
    readonly profile: Profile;
    /** SPKI SHA-256 fingerprints, lower-case hex; empty accepts any signer with a warning. */
    readonly trustedSigners: readonly string[];
    readonly minimumSerial: number;
  };
  readonly kms: {
    readonly iam: string;
    /** Service instance id → base URL. */
    readonly endpoints: Readonly<Record<string, string>>;
    readonly ca: readonly string[];
    readonly proxy: string | null;
    readonly pollSeconds: number;
    readonly onRevoked: 'grace' | 'immediate';
  };
  readonly logging: {
    /** `off`: the contract's logging section is not used, with a warning. */
    readonly remote: 'required' | 'off';
    /** How long network and log server may stay away at boot; kmsTimeout when that is longer. */
    readonly waitSeconds: number;
  };
  readonly volumes: {
    /** Volume key → device path, overriding discovery. */
    readonly devices: Readonly<Record<string, string>>;
    readonly deviceWaitSeconds: number;
    readonly legacyProfiles: readonly LegacyProfile[];
  };
  readonly paths: { readonly state: string; readonly run: string };
  readonly workload: {
    /** Compose projects and pods are unpacked below it. */
    readonly folder: string;
    /** Registry credentials as container engines read them. */
    readonly registryAuth: string;
  };
  readonly power: 'systemd' | 'report';
}
