/** What the two Debian packages hold: with Node inside for amd64, and for the distribution's Node on any architecture. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import type { BundleFile } from '../bundle.ts';
import type { DebianPackage, PackageFile } from './debian-archive.ts';
import type { ManualPage } from './manual.ts';

/** What both packages have, and what stands for the program in each. */
export interface PackageContents {
  readonly root: string;
  readonly version: string;
  readonly manual: readonly ManualPage[];
  readonly completion: Readonly<Record<'bash' | 'fish', string>>;
  readonly configuration: string;
  readonly openpgpLicence: string;
}

export interface ShippedProgram {
  /** Files of /usr/lib/triseed. */
  readonly files: readonly (BundleFile & { readonly mode?: number })[];
  readonly billOfMaterials: string;
  readonly licences: string;
}

const library = '/usr/lib/triseed';
const documentation = '/usr/share/doc/triseed';
const configurationPath = '/etc/triseed/agent.yaml';

const temporaryFiles = `\
# The key that opens contracts is for root alone, whatever put it there (tmpfiles.d(5)).
d /etc/triseed 0755 root root -
z /etc/triseed/contract-key.pem 0600 root root -
# Hand-over from boot to key daemon: API keys, in memory.
d /run/triseed 0700 root root -
`;

/** Nothing is enabled: what an image starts is for those to say who measure it. */
const afterInstallation = `\
#!/bin/sh
set -e
if [ "$1" = configure ] && [ -z "$DPKG_ROOT" ] && [ -d /run/systemd/system ]; then
  systemd-sysusers triseed.conf || true
  systemd-tmpfiles --create triseed.conf || true
  systemctl daemon-reload || true
fi
`;

/** No unit is stopped: open volumes would be left unguarded. They stop when the guest does. */
const beforeRemoval = `\
#!/bin/sh
set -e
if [ "$1" = remove ] && [ -z "$DPKG_ROOT" ] && command -v systemctl >/dev/null; then
  systemctl --no-reload disable triseed.target >/dev/null 2>&1 || true
fi
`;

const afterRemoval = `\
#!/bin/sh
set -e
if [ -z "$DPKG_ROOT" ] && [ -d /run/systemd/system ]; then
  systemctl daemon-reload || true
fi
`;

const copyright = (version: string): string => `\
Triseed ${version}, an open boot agent for confidential virtual machines.

Licensed under the Apache License, Version 2.0; on Debian systems its text is in
/usr/share/common-licenses/Apache-2.0.

Software of others that is part of this package, and its licences:
${documentation}/third-party-licences.txt.gz. OpenPGP.js is a file of its own,
${library}/openpgp.mjs, unchanged; any version with the same interface may be put
in its place. Its licence, LGPL-3.0-or-later: ${documentation}/openpgp.LICENSE.txt
`;

/** Deterministic: zlib writes neither name nor time. */
const packed = (text: string | Uint8Array): PackageFile => ({ content: gzipSync(text, { level: 9 }) });

const unitFiles = (root: string): Readonly<Record<string, PackageFile>> => {
  const folder = join(root, 'systemd');
  const names = readdirSync(folder).filter((name) => /\.(service|socket|target|timer|mount)$/.test(name));
  return Object.fromEntries(
    names.sort().map((name) => [`/usr/lib/systemd/system/${name}`, { content: readFileSync(join(folder, name)) }]),
  );
};

const guides = (root: string): Readonly<Record<string, PackageFile>> => {
  const folder = join(root, 'docs');
  const names = readdirSync(folder).filter((name) => name.endsWith('.md'));
  return Object.fromEntries(
    names.sort().map((name) => [`${documentation}/docs/${name}`, { content: readFileSync(join(folder, name)) }]),
  );
};

const sharedFiles = (contents: PackageContents, shipped: ShippedProgram): Readonly<Record<string, PackageFile>> => ({
  ...Object.fromEntries(
    shipped.files.map(({ name, contents: content, mode = 0o644 }) => [`${library}/${name}`, { content, mode }]),
  ),
  ...unitFiles(contents.root),
  ...guides(contents.root),
  ...Object.fromEntries(
    contents.manual.map(({ file, text }) => [`/usr/share/man/man${file.slice(-1)}/${file}.gz`, packed(text)]),
  ),
  '/usr/share/bash-completion/completions/triseed': { content: contents.completion.bash },
  '/usr/share/fish/vendor_completions.d/triseed.fish': { content: contents.completion.fish },
  '/usr/lib/sysusers.d/triseed.conf': { content: readFileSync(join(contents.root, 'systemd/sysusers.conf')) },
  '/usr/lib/tmpfiles.d/triseed.conf': { content: temporaryFiles },
  [configurationPath]: { content: contents.configuration },
  [`${documentation}/copyright`]: { content: copyright(contents.version) },
  [`${documentation}/changelog.gz`]: packed(readFileSync(join(contents.root, 'CHANGELOG.md'))),
  [`${documentation}/openpgp.LICENSE.txt`]: { content: contents.openpgpLicence },
  [`${documentation}/third-party-licences.txt.gz`]: packed(shipped.licences),
  [`${documentation}/triseed.cdx.json`]: { content: shipped.billOfMaterials },
});

/** Programs that the agent starts (docs/dependencies.md). */
const tools = 'cryptsetup-bin, dmsetup, e2fsprogs, mount, systemd, udev, util-linux';

const commonFields = {
  Section: 'admin',
  Priority: 'optional',
  Maintainer: 'Triseed <triseed@triseed.invalid>',
  Recommends: 'btrfs-progs, rsyslog, rsyslog-openssl, xfsprogs',
};

const scripts = { postinst: afterInstallation, prerm: beforeRemoval, postrm: afterRemoval };

const descriptionOf = (form: string): string => `\
boot agent for confidential virtual machines
 Reads sealed deployment contracts of IBM Hyper Protect Container Runtime, opens
 LUKS volumes with the seeds of two owners, and obeys the customer root key of a
 key management service. Contracts are written and checked with the same program.
 .
 ${form}
 .
 Nothing is enabled by installing it: systemctl enable triseed.target.`;

/** For guests without Node. The versions are what the pinned Node was linked against. */
export const executablePackage = (contents: PackageContents, shipped: ShippedProgram): DebianPackage => ({
  name: 'triseed',
  version: contents.version,
  architecture: 'amd64',
  fields: {
    ...commonFields,
    Depends: `libatomic1, libc6 (>= 2.28), libgcc-s1, libstdc++6 (>= 5.1), ${tools}`,
    Conflicts: 'triseed-node',
    Replaces: 'triseed-node',
    Description: descriptionOf('Node.js is part of the executable.'),
  },
  files: { ...sharedFiles(contents, shipped), '/usr/bin/triseed': { linkTo: '../lib/triseed/triseed' } },
  configurationFiles: [configurationPath],
  scripts,
});

/** The same settings as those of the executable. */
const startScript = `\
#!/bin/sh
unset NODE_OPTIONS NODE_PATH
exec /usr/bin/node --disable-sigusr1 --disable-proto=delete --disable-warning=ExperimentalWarning ${library}/triseed.mjs "$@"
`;

export const nodePackage = (contents: PackageContents, shipped: ShippedProgram): DebianPackage => ({
  name: 'triseed-node',
  version: contents.version,
  architecture: 'all',
  fields: {
    ...commonFields,
    Depends: `nodejs (>= 24), ${tools}`,
    Provides: `triseed (= ${contents.version})`,
    Conflicts: 'triseed',
    Replaces: 'triseed',
    Description: descriptionOf('This package runs on Node.js of the distribution, on any architecture.'),
  },
  files: { ...sharedFiles(contents, shipped), '/usr/bin/triseed': { content: startScript, mode: 0o755 } },
  configurationFiles: [configurationPath],
  scripts,
});
