import { message } from './message.ts';

interface Reason {
  readonly reason: string;
}

/** Messages of the command line, the configuration and the boot as a whole. */
export const bootMessages = {
  SERVICES_SUCCEEDED: message<Record<never, never>>({
    id: 'HPL10001I',
    component: 'hpcr-catch-success',
    text: () => 'Services succeeded -> systemd triggered hpl-catch-success service',
    systemAction: 'all required services are up',
    userAction: 'none',
  }),
  SERVICE_FAILED: message<Record<never, never>>({
    id: 'HPL10000E',
    component: 'hpcr-catch-failure',
    text: () => 'One or more service failed -> systemd triggered hpl-catch-failed service',
    systemAction: 'the guest powers off',
    userAction: 'read the error above it in the journal or on the console',
    exit: 1,
  }),
  BOOT_UNDERWAY: message<Record<never, never>>({
    id: 'TSD00010E',
    component: 'hpcr-disk-mount',
    text: () => 'another triseed boot is at work on the volumes of this guest',
    systemAction: 'this one touched no disk; the other one goes on, and its boot report stands',
    userAction: 'wait for the other one to end: triseed status tells what came of it',
    exit: 3,
  }),
  USAGE: message<Reason>({
    id: 'TSD00002E',
    component: 'triseed',
    text: ({ reason }) => `wrong usage: ${reason}`,
    systemAction: 'nothing was read or written',
    userAction: 'see triseed --help, or the --help of the command',
    exit: 2,
  }),
  CONFIGURATION_INVALID: message<{ readonly path: string; readonly reason: string }>({
    id: 'TSD00003E',
    component: 'triseed',
    text: ({ path, reason }) => `agent configuration ${path} is not usable: ${reason}`,
    systemAction: 'nothing was touched',
    userAction: 'correct the configuration file; docs/configuration.md lists every field',
    exit: 3,
  }),
  SETTING_NOT_BUILT: message<{ readonly setting: string }>({
    id: 'TSD00007E',
    component: 'triseed',
    text: ({ setting }) => `the agent configuration asks for ${setting}, which this version does not have`,
    systemAction: 'no contract was read and no disk was touched',
    userAction: 'remove the setting, or use a version that has it',
    exit: 1,
  }),
  FILE_UNREADABLE: message<{ readonly path: string; readonly reason: string }>({
    id: 'TSD00004E',
    component: 'triseed',
    text: ({ path, reason }) => `cannot read ${path}: ${reason}`,
    systemAction: 'nothing was written',
    userAction: 'check the path and its permissions',
    exit: 3,
  }),
  FILE_TOO_LARGE: message<{ readonly path: string; readonly limitBytes: number }>({
    id: 'TSD00008E',
    component: 'triseed',
    text: ({ path, limitBytes }) => `${path} holds more than ${limitBytes} bytes`,
    systemAction: 'nothing was written',
    userAction: 'check that this is the file you mean',
    exit: 3,
  }),
  FILE_UNWRITABLE: message<{ readonly path: string; readonly reason: string }>({
    id: 'TSD00005E',
    component: 'triseed',
    text: ({ path, reason }) => `cannot write ${path}: ${reason}`,
    systemAction: 'the file there, if any, is as it was',
    userAction: 'check the path, its permissions and the free space',
    exit: 3,
  }),
  OUTPUT_UNWRITABLE: message<Reason>({
    id: 'TSD00011E',
    component: 'triseed',
    text: ({ reason }) => `cannot write to standard output: ${reason}`,
    systemAction: 'what the command prints is missing or cut off; everything else that it does was done',
    userAction:
      'do not use what was printed; give it room or another place (-o, where the command has it), and look what is left to do again',
    exit: 3,
  }),
  BOOT_REPORT_NOT_WRITTEN: message<{ readonly path: string; readonly reason: string }>({
    id: 'TSD00009W',
    component: 'triseed',
    text: ({ path, reason }) => `the boot report ${path} could not be written: ${reason}`,
    systemAction: 'the boot ends as it would have; the journal says the same as the report',
    userAction: 'check the run folder: it has to be a writable file system in memory',
  }),
  COMMAND_NOT_STARTED: message<{ readonly program: string; readonly reason: string }>({
    id: 'TSD00006E',
    component: 'triseed',
    text: ({ program, reason }) => `cannot start ${program}: ${reason}`,
    systemAction: 'the step that needed it did not happen',
    userAction: 'install the package that brings this program',
    exit: 3,
  }),
} as const;
