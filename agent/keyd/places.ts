/**
 * Where the key daemon, its two privileged verbs and those who want to know something meet. Pure.
 *
 * The run folder of boot is root's alone, and the daemon is not root: it has a folder of its own beside it, and the sockets of the
 * verbs lie in a third one that only root can write. systemd/triseed-keyd.service, triseed-store.socket, triseed-revoke.socket.
 */

/** Belongs to the daemon: nothing that is read from here may be believed more than the daemon itself. */
export const daemonFolder = (run: string): string => `${run}-keyd`;

export const keptPath = (run: string): string => `${daemonFolder(run)}/state.json`;

export type Verb = 'store' | 'revoke';

export const verbSocket = (run: string, verb: Verb): string => `${run}-verbs/${verb}`;

/** For everybody. `NAME.prom`: what the textfile collector of node_exporter looks for. */
export const statusSocket = (run: string): string => `${daemonFolder(run)}/status`;
export const statusPath = (run: string): string => `${daemonFolder(run)}/status.json`;
export const metricsPath = (run: string): string => `${daemonFolder(run)}/triseed.prom`;

/** For root: the latest events, as `triseed keyd --replay` reads them. */
export const recordingPath = (run: string): string => `${daemonFolder(run)}/events.json`;
