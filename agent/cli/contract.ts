/** `triseed contract`: write, check, encrypt and sign contracts. */
import { Command } from 'commander';
import type { Host } from '../ports.ts';
import { archiveCommand } from './contract-archive.ts';
import { keygenCommand, newCommand } from './contract-author.ts';
import { certsCommand } from './contract-certs.ts';
import { encryptCommand, signCommand } from './contract-encrypt.ts';
import { inspectCommand } from './contract-inspect.ts';
import { decryptCommand, validateCommand, verifyCommand } from './contract-read.ts';
import { sealCommand } from './contract-seal.ts';
import type { CommandIo } from './io.ts';

const help = `
A contract from nothing:
  triseed contract new -o contract.yaml                     then fill in what says REPLACE
  triseed contract validate contract.yaml
  triseed contract seal contract.yaml --cert guest.crt --key signer.pem -o user-data
  triseed contract verify user-data --decrypt-key guest-key.pem --signer signer.pub
  triseed contract inspect user-data --decrypt-key guest-key.pem`;

/** Handlers end as cli/io.ts describes. */
export const contractCommand = (host: Host, io: CommandIo): Command => {
  const command = new Command('contract')
    .description('write, check, encrypt and sign contracts')
    .addHelpText('after', help)
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
