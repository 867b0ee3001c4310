/** Files that the set-up of logging leaves for the units that send; systemd hands them over as credentials. */

export interface LoggingPlaces {
  readonly folder: string;
  readonly rsyslogConfiguration: string;
  readonly ca: string;
  readonly cert: string;
  readonly key: string;
  readonly logRouter: string;
}

/** systemd/triseed-log-forwarding.service and triseed-log-router.service load them from the default run folder. */
export const loggingPlaces = (run: string): LoggingPlaces => {
  const folder = `${run}/logging`;
  return {
    folder,
    rsyslogConfiguration: `${folder}/rsyslog.conf`,
    ca: `${folder}/ca.pem`,
    cert: `${folder}/cert.pem`,
    key: `${folder}/key.pem`,
    logRouter: `${folder}/log-router.json`,
  };
};

/** Lies there when this boot does without remote logging: systemd/triseed-logging.service and its senders then are not started. */
export const switchedOffPath = (run: string): string => `${run}/logging-off`;

const forwardingUnit = 'triseed-log-forwarding';

/** The same files as rsyslogd sees them: systemd.exec(5), "Credentials" and RuntimeDirectory=. */
export const rsyslogFiles = {
  ca: `/run/credentials/${forwardingUnit}.service/ca`,
  cert: `/run/credentials/${forwardingUnit}.service/cert`,
  key: `/run/credentials/${forwardingUnit}.service/key`,
  work: `/run/${forwardingUnit}`,
} as const;

/** Where the forwarder to IBM Cloud Logs keeps how far it has read, through its own restarts. */
export const cursorPath = '/run/triseed-log-router/cursor';
