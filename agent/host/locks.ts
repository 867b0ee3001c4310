/**
 * Machine-wide locks as listening sockets in Linux's abstract namespace (unix(7)): binding is atomic and the kernel
 * frees the name when its holder ends, so there is no stale lock file to judge.
 */
import type { Locks } from '../ports.ts';

export const locks: Locks = {
  acquire: async (name) => {
    const { createServer } = await import('node:net');
    return new Promise((resolve, reject) => {
      const server = createServer((socket) => socket.destroy());
      server.once('error', (error: NodeJS.ErrnoException) => {
        if (error.code === 'EADDRINUSE') resolve(null);
        else reject(error);
      });
      server.listen(`\0triseed/${name}`, () =>
        resolve({ release: () => new Promise((released) => server.close(() => released())) }),
      );
      server.unref();
    });
  },
};
