/** The guest kernel's command line (pure). Linux Documentation/virt/uml/user_mode_linux_howto_v2.rst; `linux.uml --help`. */
import type { Disk } from './scratch.ts';

export interface Machine {
  readonly cpu: number;
  readonly memoryMiB: number;
  readonly network: boolean;
  readonly disks: readonly Disk[];
  /** Always the last possible disk (ubdp), so that it moves no other. */
  readonly contractDisk: Disk | null;
  /** Paths as the kernel's process sees them. */
  readonly paths: {
    readonly init: string;
    readonly tree: string;
    readonly checkout: string;
    readonly commands: string;
    readonly recorded: string | null;
    readonly guestMount: string;
  };
  readonly extra: readonly string[];
}

const contractDiskNumber = 15;

const diskArgument = (number: number, disk: Disk): string =>
  `ubd${number}${disk.readOnly ? 'r' : ''}=${disk.file}${disk.serial === null ? '' : `,,${disk.serial}`}`;

/**
 * Program and arguments. The process must run in the guest's folder, with the console on descriptor 1 and a stream socket
 * on 3; the starter replaces `{net}`. Throws an Error for disks that the kernel would silently not show.
 */
export const commandLine = (machine: Machine): readonly string[] => {
  if (machine.disks.length > contractDiskNumber) throw new Error(`a guest has at most ${contractDiskNumber} disks`);
  const disks = machine.disks.map((disk, number) => diskArgument(number, disk));
  if (machine.contractDisk !== null) disks.push(diskArgument(contractDiskNumber, machine.contractDisk));
  for (const argument of disks) {
    if (!/^[\w./@+=,-]+$/.test(argument))
      throw new Error(`the kernel's command line cannot name this disk: ${argument}`);
  }
  const { paths } = machine;
  return [
    // On one CPU a guest is more than twice as fast: its processes hand over to each other all the time.
    ...['taskset', '-c', String(machine.cpu)],
    'linux.uml',
    `mem=${machine.memoryMiB}M`,
    ...['umid=guest', 'uml_dir=run/'],
    ...['rootfstype=hostfs', 'hostfs=/', 'root=/dev/root', 'ro', `init=${paths.init}`],
    ...disks,
    ...['con=null', 'con0=fd:0,fd:1', 'con1=fd:3,fd:3', 'ssl=null'],
    ...(machine.network ? ['vec0:transport=fd,fd={net},depth=128', 'GUEST_ADDRESS=10.0.2.15/24'] : []),
    // Restarting is the driver's, so that it can look at the disks in between.
    'noreboot',
    // Benchmarks and devices nobody needs here: 0.9 s of 1.1 s.
    ...['initcall_blacklist=raid6_select_algo,init_zswap', 'pty.legacy_count=0', 'selinux=0', 'apparmor=0'],
    ...['quiet', 'printk.time=1', 'systemd.show_status=false'],
    ...['systemd.journald.forward_to_console=1', 'systemd.journald.max_level_console=debug'],
    `GUEST_TREE=${paths.tree}`,
    `GUEST_CHECKOUT=${paths.checkout}`,
    `GUEST_COMMANDS=${paths.commands}`,
    `GUEST_MOUNT=${paths.guestMount}`,
    ...(paths.recorded === null ? [] : [`GUEST_RECORDED=${paths.recorded}`]),
    ...machine.extra,
  ];
};

/** How a guest's process ended. `restarting`: the guest asked for a restart, which is a new start by the driver. */
export type Outcome = 'poweredOff' | 'restarting' | 'panicked' | 'killed' | 'timedOut' | 'failed';

/** Reads the end of a guest's process from its exit status, what the starter knows and the kernel's last words. */
export const outcomeOf = (end: {
  readonly code: number;
  readonly reason: string;
  readonly console: string;
}): Outcome => {
  if (end.reason === 'limit') return 'timedOut';
  if (end.reason === 'killed') return 'killed';
  if (/Kernel panic - not syncing/.test(end.console)) return 'panicked';
  if (end.code === 0 && /reboot: Restarting system/.test(end.console)) return 'restarting';
  if (end.code === 0 && /reboot: (System halted|Power down)/.test(end.console)) return 'poweredOff';
  return 'failed';
};
