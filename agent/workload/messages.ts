/** Messages about what the workload is handed. */
import { message } from '../message.ts';

interface Reason {
  readonly reason: string;
}

/** Everything is decided before the first disk is touched; what can go wrong later is a file that cannot be written. */
const untouched = 'no disk was touched, nothing was handed to the workload';

export const workloadMessages = {
  WORKLOAD_PLACE_NOT_PRIVATE: message<{ readonly path: string }>({
    id: 'TSD08001E',
    component: 'hpcr-contract',
    text: ({ path }) => `${path} would keep secrets of the contract on an unencrypted disk`,
    systemAction: 'nothing was written there; volumes that had been opened are closed again',
    userAction: 'enable the mount units that come with the agent, or put the folder on a LUKS device',
    exit: 1,
  }),
  WORKLOAD_FOLDER_IN_USE: message<{ readonly path: string; readonly name: string }>({
    id: 'TSD08002E',
    component: 'hpcr-container',
    text: ({ path, name }) => `${path} already holds ${name}: old files would mix with those of this contract`,
    systemAction: 'nothing there was changed; volumes that had been opened are closed again',
    userAction: 'make it a file system in memory (data1.mount), or let the image begin with an empty folder',
    exit: 1,
  }),
  WORKLOAD_PATH_OBSTRUCTED: message<{ readonly path: string; readonly kind: string }>({
    id: 'TSD08003E',
    component: 'hpcr-container',
    text: ({ path, kind }) => `${path} should be a folder and is a ${kind}`,
    systemAction: 'nothing was written through it; volumes that had been opened are closed again',
    userAction: 'rename the member of the archive, or the file on the volume that is mounted there',
    exit: 1,
  }),
  REGISTRY_AUTH_UNUSABLE: message<{ readonly registry: string }>({
    id: 'TSD08004E',
    component: 'hpcr-registry-auth',
    text: ({ registry }) =>
      `the user name for registry ${registry} holds a colon: container engines would cut it there`,
    systemAction: untouched,
    userAction: 'use a user name without a colon in auths',
    exit: 1,
  }),
  COMPOSE_NOT_EXTRACTED: message<Reason>({
    id: 'HPL08002E',
    component: 'hpcr-container',
    text: ({ reason }) => `the compose archive cannot be unpacked: ${reason}`,
    systemAction: untouched,
    userAction: 'make the archive again with triseed contract archive; triseed contract validate checks it',
    exit: 1,
  }),
  ENVIRONMENT_NOT_EXTRACTED: message<Reason>({
    id: 'HPL08003E',
    component: 'hpcr-container',
    text: ({ reason }) => `the variables cannot be added to the file .env of the archive: ${reason}`,
    systemAction: untouched,
    userAction: 'correct that file; docker compose would not read it either',
    exit: 1,
  }),
  COMPOSE_NOT_EXISTS: message<Record<never, never>>({
    id: 'HPL08005E',
    component: 'hpcr-container',
    text: () => 'the archive has neither docker-compose.yaml nor docker-compose.yml at its top',
    systemAction: untouched,
    userAction: 'pack from inside the folder that holds the compose file',
    exit: 1,
  }),
  PODS_NOT_PROCESSED: message<Reason>({
    id: 'HPL15002E',
    component: 'hpcr-container-play',
    text: ({ reason }) => `the pods of the contract cannot be made ready: ${reason}`,
    systemAction: untouched,
    userAction: 'correct the play subsection; expressions other than {{ .Env.NAME }} are not supported',
    exit: 1,
  }),
  PODS_PROCESSED: message<{ readonly count: number }>({
    id: 'HPL15003I',
    component: 'hpcr-container-play',
    text: ({ count }) => `${count} document(s) for podman are ready`,
    systemAction: 'they lie below workload.folder; this version does not start them',
    userAction: 'none',
  }),
  PODS_NOTHING_TO_DO: message<Record<never, never>>({
    id: 'HPL15006I',
    component: 'hpcr-container-play',
    text: () => 'the contract defines no pods',
    systemAction: 'the boot goes on',
    userAction: 'none',
  }),
} as const;
