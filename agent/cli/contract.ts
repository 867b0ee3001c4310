/** `triseed contract`: write, check, encrypt and sign contracts. */
import type { Command } from 'commander';
import type { Host } from '../ports.ts';
import { archiveCommand } from './contract-archive.ts';
import { keygenCommand, newCommand } from './contract-author.ts';
import { certsCommand } from './contract-certs.ts';
import { encryptCommand, signCommand } from './contract-encrypt.ts';
import { contractGroup } from './contract-group.ts';
import { inspectCommand } from './contract-inspect.ts';
import { decryptCommand, validateCommand, verifyCommand } from './contract-read.ts';
import { sealCommand } from './contract-seal.ts';
import type { CommandIo } from './io.ts';

/** Handlers end as cli/io.ts describes. */
export const contractCommand = (host: Host, io: CommandIo): Command => {
  const command = contractGroup()
    .addCommand(keygenCommand(host, io))
    .addCommand(newCommand(host, io))
    .addCommand(validateCommand(host, io))
    .addCommand(sealCommand(host, io))
    .addCommand(encryptCommand(host, io))
    .addCommand(signCommand(host, io))
    .addCommand(decryptCommand(host, io))
    .addCommand(verifyCommand(host, io))
    .addCommand(inspectCommand(host, io))
    .addCommand(certsCommand(host, io))
    .addCommand(archiveCommand(host, io));
  return command;
};
