/** The name `triseed contract` with its help, to which commands are added: all of them, or the one that was asked for. */
import { Command } from 'commander';

const help = `
A contract from nothing:
  triseed contract new -o contract.yaml                     then fill in what says REPLACE
  triseed contract validate contract.yaml
  triseed contract seal contract.yaml --cert guest.crt --key signer.pem -o user-data
  triseed contract verify user-data --decrypt-key guest-key.pem --signer signer.pub
  triseed contract inspect user-data --decrypt-key guest-key.pem`;

export const contractGroup = (): Command =>
  new Command('contract').description('write, check, encrypt and sign contracts').addHelpText('after', help);
