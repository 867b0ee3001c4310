/** Forged LUKS2 headers in the hands of stock cryptsetup, in a guest, where device-mapper is: what a guest without a gate would do. */
import type { Test } from 'tap';
import { gateHeader } from '../../../../agent/volumes/gate.ts';
import { readLuksHeader } from '../../../../agent/volumes/luks-header.ts';
import { blank, MiB, put, take } from '../image.ts';
import { luksFormat, opensWith, volumeKeyOf } from '../luks-file.ts';
import { forgeryNamed, knownKey } from '../luks-forgeries.ts';
import type { Stage } from '../stage.ts';
import { makeVolume, quick, volumeText } from '../volume-case.ts';
import { up } from './root-keys.ts';

const passphrase = 'right and sixteen';
const wrong = 'of somebody else';
const dataAt = 16 * MiB;
const written = 'what a guest believes to be encrypted '.repeat(128).slice(0, 4096);

/** Whole disks whose cipher the host chose, and the line that dmsetup shows of each. */
const activated = {
  null_segment: /crypt cipher_null-ecb /,
  ecb_segment: /crypt aes-ecb /,
  twice_the_field: /crypt cipher_null-ecb /,
  other_case: /crypt cipher_null-ecb /,
  newer_second_copy: /crypt cipher_null-ecb /,
} as const;

/** AES without XTS takes no key of 512 bits; the gate lets headers with 256 pass as well. */
const settingsFor = (key: string) => (key === 'ecb_segment' ? [...quick, '--key-size=256'] : quick);

const device = (key: string): string => `/dev/disk/by-id/virtio-${key}`;

export const stockWithForgedHeaders = async (t: Test, stage: Stage): Promise<void> => {
  const scratch = stage.folder('stock');
  const innocent = await makeVolume(stage, scratch, { key: 'innocent' });
  const keys = [...Object.keys(activated), 'null_keyslot'];
  const fileOf = (key: string): string => scratch.path(`${key}.img`);
  const extra = [];
  for (const key of keys) {
    const made = await makeVolume(stage, scratch, {
      key,
      sizeMiB: 24,
      disk: ({ file, sizeBytes }) => {
        blank(file, sizeBytes);
        luksFormat(file, passphrase, settingsFor(key));
        const area = take(file, 0, MiB);
        forgeryNamed(key).make(area);
        put(file, 0, area);
      },
    });
    extra.push(...made.disks);
  }
  const guest = await stage.guest(scratch, {
    name: 'stock',
    volumes: [volumeText(stage, innocent.volume)],
    disks: [...innocent.disks, ...extra],
  });
  guest.start();
  t.match(await up(guest), /HPL10001I/);
  await guest.check(
    `printf %s '${written}' >/run/written; printf %s '${passphrase}' >/run/right; printf %s '${wrong}' >/run/wrong`,
  );
  for (const [key, table] of Object.entries(activated)) {
    const shown = await guest.check(
      `cryptsetup open --key-file=/run/right ${device(key)} ${key} && dmsetup table ${key} && ` +
        `dd if=/run/written of=/dev/mapper/${key} bs=4096 conv=fsync status=none && cryptsetup close ${key}`,
    );
    t.match(shown, table, `${key}: cryptsetup opens it without a word`);
  }
  // Whoever has the volume key needs no passphrase; this is how that state gets a clean look.
  const slot = device('null_keyslot');
  await guest.check(
    `cryptsetup open --test-passphrase --key-file=/run/wrong ${slot} && ` +
      `cryptsetup luksAddKey --batch-mode --pbkdf=pbkdf2 --pbkdf-force-iterations=1000 --key-file=/run/wrong ${slot} /run/right && ` +
      `cryptsetup luksKillSlot --batch-mode --key-file=/run/right ${slot} 0`,
  );
  await guest.powerOff();

  for (const key of ['null_segment', 'twice_the_field', 'other_case', 'newer_second_copy'])
    t.equal(take(fileOf(key), dataAt, 4096).toString('latin1'), written, `${key}: the host reads what the guest wrote`);
  const cleaned = fileOf('null_keyslot');
  t.ok(opensWith(cleaned, passphrase));
  t.notOk(opensWith(cleaned, wrong));
  t.ok(volumeKeyOf(cleaned, passphrase).equals(knownKey), 'a clean keyslot for a key that the host knows');
  const found = await readLuksHeader(async (offset, length) => take(cleaned, offset, length), 24 * MiB);
  t.equal(
    found.kind === 'luks2' ? gateHeader(found.current).kind : found.kind,
    'passed',
    'nothing shows it any more: it has to be refused before',
  );
  if (t.passing()) scratch.remove();
};
