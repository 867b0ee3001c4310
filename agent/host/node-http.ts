/**
 * node:http, without what importing it by name costs. An ECMAScript import reads every member of the module, and some of
 * them are getters that load Node's own fetch: 50 ms and 16 MB in a process that never uses it (Node 26).
 */
const http = process.getBuiltinModule('node:http');

export const { Agent, createServer, request } = http;
