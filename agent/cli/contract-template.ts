/** What `triseed contract new` prints: a contract to fill in, with a comment on every line that needs one. */
import type { Profile, SectionName } from '../contract/types.ts';

const workload = (profile: Profile): string => {
  const kind =
    profile === 'ccrv' || profile === 'ccco'
      ? `# What runs: pods and ConfigMaps for podman play, given here or as an archive.
play:
  # base64 on one line of a gzipped tar: tar czf - -C DIR . | base64 -w0
  archive: REPLACE+WITH+BASE64+OF+YOUR+TAR+GZ
`
      : `# What runs: a compose project.
compose:
  # base64 on one line of a gzipped tar with docker-compose.yaml: tar czf - -C DIR . | base64 -w0
  archive: REPLACE+WITH+BASE64+OF+YOUR+TAR+GZ
`;
  return `type: workload
${profile === 'ccco' ? confidentialContainers : kind}
# Credentials for the registry that holds the images. Give images by digest.
# auths:
#   registry.example.com:
#     username: reader
#     password: REPLACE

# One entry for each data volume; env.volumes needs the same names.
volumes:
  data:
    # The workload owner's seed: 15 or more of letters, digits and !@#$%^&*(),.?":{}|<>_-
    # It must not be lost: without both seeds nobody opens the volume. openssl rand -hex 24 makes one.
    seed: REPLACE_workload_seed
    mount: /mnt/data
    filesystem: ext4

# Variables for the workload; put numbers and booleans in quotes.
# env:
#   LOG_LEVEL: info

# Settings that only triseed reads.
# triseed:
#   volumes:
#     data:
#       intent: auto   # auto | open (never format) | create (insist on a blank disk)
`;
};

const confidentialContainers = `# Settings for confidential containers.
confidential-containers:
  regoValidator:
    # base64 of your Rego policy
    policy: UkVQTEFDRQ==
`;

const env = `type: env
# Where logs go: one of syslog and logRouter.
logging:
  syslog:
    hostname: logs.example.com
    port: 6514
    # base64 on one line of the PEM texts: base64 -w0 ca.pem
    server: REPLACE+WITH+BASE64+OF+CA+CERTIFICATE
    cert: REPLACE+WITH+BASE64+OF+CLIENT+CERTIFICATE
    key: REPLACE+WITH+BASE64+OF+CLIENT+KEY+AS+PKCS8

# One entry for each data volume; workload.volumes needs the same names.
volumes:
  data:
    # The deployer's seed, by the same rules.
    seed: REPLACE_env_seed
    # A customer root key makes the volume open only while the key is active.
    # kms:
    #   - apiKey: REPLACE_api_key
    #     crn: crn:v1:bluemix:public:kms:REGION:a/ACCOUNT:INSTANCE:key:KEY
    # kmsTimeout: 10   # minutes

# Settings that only triseed reads.
# triseed:
#   serial: 1   # counts up with every release; images refuse older contracts
`;

const indented = (text: string): string => text.replace(/^(?=.)/gm, '  ');

/** The text for one section, or for a whole contract. */
export const contractTemplate = (profile: Profile, section: SectionName | null): string => {
  if (section === 'workload') return workload(profile);
  if (section === 'env') return env;
  return `# A deployment contract. Fill in what says REPLACE, then:
#   triseed contract validate THIS --profile ${profile}
#   triseed contract seal THIS --profile ${profile} --cert IMAGE-encrypt.crt --key SIGNING-KEY.pem -o user-data
# The pipe signs matter: both sections are strings.
workload: |
${indented(workload(profile))}
env: |
${indented(env)}`;
};
