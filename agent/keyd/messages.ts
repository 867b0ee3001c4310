/** Messages of keyd. Wording is not tested; names and ids are stable. HPL18nnnx: IBM Cloud docs, "Message reference". */
import { message } from '../message.ts';
import { renderDuration } from './duration.ts';

interface OfVolume {
  /** Volume key of the contract. */
  readonly volume: string;
}
interface OfVolumeWithReason extends OfVolume {
  readonly reason: string;
}

/** Follows from an answer of the key service; what its support asks for. */
interface OfRequest extends OfVolume {
  readonly correlationId: string | null;
}

const traced = (correlationId: string | null): string =>
  correlationId === null ? '' : `, correlation id ${correlationId}`;

const component = 'keydaemon';

export const keydMessages = {
  KEY_DAEMON_STARTED: message<OfVolume>({
    id: 'HPL18003I',
    component,
    text: ({ volume }) => `key daemon started -> data volume ${volume}`,
    systemAction: 'the root key of this volume is polled from now on',
    userAction: 'none',
  }),
  KEY_ROTATED: message<OfRequest>({
    id: 'HPL18001I',
    component,
    text: ({ volume, correlationId }) =>
      `root key was rotated, the wrapped seed is renewed${traced(correlationId)} -> data volume ${volume}`,
    systemAction: 'the volume keeps the new wrapping; data and passphrase are as they were',
    userAction: 'none',
  }),
  KEY_REACHABLE: message<OfRequest>({
    id: 'HPL18002I',
    component,
    text: ({ volume, correlationId }) =>
      `root key is active again before the time limit${traced(correlationId)} -> data volume ${volume}`,
    systemAction: 'polling goes on; no restart will happen',
    userAction: 'none',
  }),
  KEY_NOT_VALID: message<
    OfVolume & {
      readonly keyState: string;
      /** From now to the restart, in milliseconds. */
      readonly restartInMs: number;
      /** From now to the power-off, when the key stays as it is, in milliseconds. */
      readonly powerOffInMs: number;
    }
  >({
    id: 'HPL18002W',
    component,
    text: ({ volume, keyState, restartInMs, powerOffInMs }) =>
      `root key is not usable: ${keyState}; the guest restarts in ${renderDuration(restartInMs)} and powers off in ` +
      `${renderDuration(powerOffInMs)} unless the key is active before -> data volume ${volume}`,
    systemAction: 'the volume stays open until then; the key is polled more often',
    userAction: 'enable or restore the root key, or mend the access to the key management service',
  }),
  REBOOT_WARNING: message<OfVolumeWithReason>({
    id: 'HPL18003W',
    component,
    text: ({ volume, reason }) => `the guest restarts in a few seconds: ${reason} -> data volume ${volume}`,
    systemAction: 'the workload is stopped, all data volumes are closed, then the guest restarts',
    userAction: 'enable or restore the root key; the next start waits for it as long as kmsTimeout says',
  }),
  UNEXPECTED_FAILURE: message<OfVolumeWithReason>({
    id: 'HPL18001W',
    component,
    text: ({ volume, reason }) => `unexpected failure: ${reason} -> data volume ${volume}`,
    systemAction: 'counted as an answer that did not come; the guest restarts when it lasts longer than kmsTimeout',
    userAction: 'this is a bug in triseed, please report it',
  }),
  REWRAP_FAILED: message<OfVolumeWithReason & { readonly retryInMs: number }>({
    id: 'HPL18002E',
    component,
    text: ({ volume, reason, retryInMs }) =>
      `wrapped seed could not be renewed after a rotation: ${reason}; next attempt in ${renderDuration(retryInMs)} ` +
      `-> data volume ${volume}`,
    systemAction: 'the volume keeps the wrapping it has, which the key service can still unwrap; polling goes on',
    userAction: 'keep the older version of the root key until the renewal is reported',
  }),
  SAVE_KEY_FAILED: message<OfVolumeWithReason & { readonly retryInMs: number }>({
    id: 'HPL18007E',
    component,
    text: ({ volume, reason, retryInMs }) =>
      `renewed seed could not be stored: ${reason}; next attempt in ${renderDuration(retryInMs)} -> data volume ${volume}`,
    systemAction: 'the volume keeps the old wrapping, which the key service can still unwrap; polling goes on',
    userAction: 'check the disk; keep the older version of the root key until the renewal is reported',
  }),
  KEY_DAEMON_FAILED: message<{ readonly reason: string }>({
    id: 'HPL18004E',
    component,
    text: ({ reason }) => `key daemon ended with an error: ${reason}`,
    systemAction: 'all data volumes are closed and the guest restarts',
    userAction: 'read the lines of keydaemon above it',
    exit: 1,
  }),
  KEY_DAEMON_CONFIGURATION: message<{ readonly path: string; readonly reason: string }>({
    id: 'HPL18006E',
    component,
    text: ({ path, reason }) => `what the key daemon needs is missing or not usable: ${path}: ${reason}`,
    systemAction: 'the daemon does not run; all data volumes are closed and the guest restarts',
    userAction: 'read the lines of the boot above it; triseed boot writes this file',
    exit: 1,
  }),
  REVOKE_NOT_STARTED: message<{ readonly unit: string; readonly reason: string }>({
    id: 'TSD18001E',
    component,
    text: ({ unit, reason }) => `systemd did not take the request to start ${unit}: ${reason}`,
    systemAction: 'the daemon ends, which makes systemd start that unit itself',
    userAction: 'none; power the guest off from outside if it does not restart within minutes',
    exit: 1,
  }),
  SOCKET_NO_ANSWER: message<{ readonly path: string; readonly reason: string }>({
    id: 'TSD18003E',
    component,
    text: ({ path, reason }) => `no answer at the socket ${path}: ${reason}`,
    systemAction: 'nothing was changed by whoever asked',
    userAction: 'see whether the socket unit of that path is active (systemctl list-sockets)',
    exit: 3,
  }),
  STORE_REFUSED: message<OfVolumeWithReason>({
    id: 'TSD18004E',
    component,
    text: ({ volume, reason }) => `triseed-store did not store the renewed seed: ${reason} -> data volume ${volume}`,
    systemAction: 'the volume keeps the wrapping it has; the daemon asks again later',
    userAction: 'read the journal of triseed-store@.service; check the disk',
    exit: 1,
  }),
  REVOKE_STEP_FAILED: message<{ readonly step: string; readonly reason: string }>({
    id: 'TSD18001W',
    component,
    text: ({ step, reason }) => `${step}: ${reason}`,
    systemAction: 'the revocation goes on with its next step',
    userAction: 'none',
  }),
  STATUS_NOT_TOLD: message<{ readonly path: string; readonly reason: string }>({
    id: 'TSD18008W',
    component,
    text: ({ path, reason }) => `what the key daemon tells others cannot be told at ${path}: ${reason}`,
    systemAction: 'the root keys are watched as before; status, metrics or recorded events may be old',
    userAction: 'see what is wrong with the folder of the daemon below /run',
  }),
  SETTINGS_RELOADED: message<{ readonly pollSeconds: number; readonly onRevoked: string }>({
    id: 'TSD18009I',
    component,
    text: ({ pollSeconds, onRevoked }) =>
      `settings were read again: pollSeconds ${pollSeconds}, onRevoked ${onRevoked}, and how the key service is reached`,
    systemAction: 'every key is polled anew with them; a grace that is running keeps its end',
    userAction: 'none',
  }),
  SETTINGS_NOT_RELOADED: message<{ readonly reason: string }>({
    id: 'TSD18010W',
    component,
    text: ({ reason }) => `settings could not be read again: ${reason}`,
    systemAction: 'the daemon goes on with the settings it has',
    userAction: 'correct the agent configuration, then systemctl reload triseed-keyd',
  }),
  RESTARTS_NOT_KEPT: message<{ readonly path: string; readonly reason: string }>({
    id: 'TSD18005W',
    component,
    text: ({ path, reason }) => `the count of restarts on ${path} cannot be used: ${reason}`,
    systemAction: 'this restart is not counted; everything else goes on',
    userAction: 'check the disk when it happens again',
  }),
  TOO_MANY_RESTARTS: message<{ readonly reason: string }>({
    id: 'TSD18006W',
    component,
    text: ({ reason }) =>
      `the key daemon ended this guest more than three times within an hour of healthy boots, so it powers off: ${reason}`,
    systemAction: 'the workload is stopped and all data volumes are closed; the guest does not start again by itself',
    userAction: 'find out why the root key comes and goes; then start the guest',
  }),
  FIRST_QUESTION_DELAYED: message<OfVolume & { readonly delayMs: number }>({
    id: 'TSD18007I',
    component: 'hpcr-disk-mount',
    text: ({ volume, delayMs }) =>
      `the daemon had restarted this guest: the key service is asked in ${renderDuration(delayMs)} -> data volume ${volume}`,
    systemAction: 'guests that restart together do not ask together; the time counts towards kmsTimeout',
    userAction: 'none',
  }),
  VOLUME_CLOSED: message<OfVolume & { readonly by: 'removal' | 'wipe' }>({
    id: 'TSD18002I',
    component,
    text: ({ volume, by }) =>
      by === 'removal'
        ? `volume is closed -> data volume ${volume}`
        : `volume was busy: it is suspended and its key is wiped from the kernel -> data volume ${volume}`,
    systemAction: 'no key of this volume is left in the kernel',
    userAction: 'none',
  }),
  VOLUME_NOT_CLOSED: message<OfVolume>({
    id: 'TSD18002E',
    component,
    text: ({ volume }) => `volume could neither be closed nor be stripped of its key -> data volume ${volume}`,
    systemAction: 'the guest is restarted by force at once',
    userAction: 'none; the restart takes the key with it',
    exit: 1,
  }),
} as const;
