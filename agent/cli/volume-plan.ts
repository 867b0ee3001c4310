/** `triseed volume plan` and `adopt`: what a boot would do. Both only read. */
import { Command } from 'commander';
import { readVolumes } from '../boot.ts';
import type { ContractVolume } from '../contract/types.ts';
import { AgentError, describeChain } from '../errors.ts';
import type { Host } from '../ports.ts';
import { type DiskView, viewDisk, viewImage } from '../volumes/disk-view.ts';
import { boxesAfter, boxesNow, drawBoxes } from '../volumes/drawing.ts';
import { observationMaxBytes, parseObservations, renderObservations } from '../volumes/observation-file.ts';
import type { Preparation } from '../volumes/prepare.ts';
import { answerOf, refusalAmong, type Survey } from '../volumes/survey.ts';
import { takeSurvey, viewVolume } from '../volumes/take-survey.ts';
import { renderHeadline, renderStepLines } from './boot.ts';
import { printJson, type VolumeContext, withConfiguration, withJson } from './volume-context.ts';

interface Options {
  readonly config: string;
  readonly offline?: true;
  readonly json?: true;
  readonly saveObservation?: string;
}

/** What is not known when neither seeds nor key service were asked. */
const unproven =
  'not asked (--offline): whether the root key is active, whether a kms entry unwraps the stored seed, whether the seeds open it';

const isUnproven = ({ finding, volume, observation }: Survey): boolean =>
  finding.kind === 'notAsked' && volume.kmsEntries > 0 && observation.header !== null;

const render = (survey: Survey): string => {
  const { observation, volume, isOpen } = survey;
  const answer = answerOf(survey);
  const now = drawBoxes('now', boxesNow(observation));
  if (answer.kind === 'refused')
    return `volume ${volume.key} on ${observation.disk.path}: refused\n${now}  ${answer.id}: ${answer.text}\n`;
  const open = isOpen ? '  it is open now; this is what the next boot does\n' : '';
  const note = isUnproven(survey) ? `  ${unproven}\n` : '';
  const [first] = answer.plans;
  const blocks = answer.plans.map(({ when, plan }) => {
    const after = drawBoxes('after', boxesAfter(observation, plan));
    const headline = when === null ? '' : `  when ${when} (${plan.scenario}, digest ${plan.digest}):\n`;
    return `${headline}${after}${renderStepLines(plan)}`;
  });
  return `${first === undefined ? '' : renderHeadline(first.plan)}${open}${now}${blocks.join('')}${note}`;
};

const document = (survey: Survey) => {
  const { volume, observation, finding, isOpen } = survey;
  return { volume: volume.key, isOpen, disk: observation.disk, finding, ...answerOf(survey) };
};

/** Prints all answers; exit status 1 when a boot would refuse any. */
const answer = ({ io }: VolumeContext, surveys: readonly Survey[], json: boolean): void => {
  const among = refusalAmong(surveys);
  if (json)
    printJson(io, {
      refused: among === null ? null : { id: among.id, text: among.message },
      volumes: surveys.map(document),
    });
  else {
    io.stdout(surveys.length === 0 ? 'the contract names no volume\n' : surveys.map(render).join('\n'));
    if (among !== null) io.stdout(`\nrefused together\n  ${among.id}: ${among.message}\n`);
  }
  if (among !== null || surveys.some((survey) => answerOf(survey).kind === 'refused')) io.setExitStatus(1);
};

const finish = async (context: VolumeContext, host: Host, surveys: readonly Survey[], options: Options) => {
  const { saveObservation, json } = options;
  if (saveObservation !== undefined)
    await host.files.writeNew(saveObservation, Buffer.from(renderObservations(surveys)), 0o600);
  answer(context, surveys, json === true);
};

/** The file is all that is read. */
const replay = async (context: VolumeContext, path: string, json: boolean): Promise<void> => {
  const { host, io } = context;
  const bytes = path === '-' ? await io.stdin(observationMaxBytes) : await host.files.read(path, observationMaxBytes);
  if (bytes === null) throw new AgentError('FILE_UNREADABLE', { path, reason: 'it does not exist' });
  const surveys = parseObservations(bytes.toString('utf8'));
  if ('wrong' in surveys) throw new AgentError('OBSERVATION_UNUSABLE', { path, reason: surveys.wrong });
  answer(context, surveys, json);
};

const begin = async (context: VolumeContext, config: string) => {
  const { settings, host } = await context.configured(config);
  const preparation: Preparation = { settings, startedAtMs: host.clock.monotonicMs() };
  const volumes = await readVolumes(host, settings, { credentialsFolder: context.credentialsFolder });
  return { host, preparation, volumes };
};

const planHelp = `
The contract comes from the sources of the agent configuration, as for a boot.

  triseed volume plan                                what the next boot would do; asks the key service
  triseed volume plan --offline                      without the key service: every outcome that it may lead to
  triseed volume plan --save-observation case.json   keeps what was found; no seed and no key is in the file
  triseed volume plan --observation case.json        the same plans again, on any machine; reads nothing else

Exit status: 0 · 1 a boot would refuse · 3 it could not be found out`;

export const planCommand = (context: VolumeContext): Command =>
  withJson(withConfiguration(new Command('plan')))
    .description('show what the next boot would do with the volumes of the contract; changes nothing')
    .option('--offline', 'do not ask the key management service')
    .option('--save-observation <file>', 'keep what was found in a new file')
    .option('--observation <file>', 'plan from such a file instead of disks and contract; - for standard input')
    .addHelpText('after', planHelp)
    .action(async (options: Options & { readonly observation?: string }) => {
      const { observation, offline, saveObservation, json, config } = options;
      if (observation !== undefined) {
        if (offline === true || saveObservation !== undefined)
          throw new AgentError('USAGE', { reason: '--observation goes with --json alone: nothing is looked at' });
        await replay(context, observation, json === true);
        return;
      }
      const { host, preparation, volumes } = await begin(context, config);
      const surveys: Survey[] = [];
      const failed: unknown[] = [];
      for (const volume of volumes) {
        try {
          const view = await viewVolume(host, volume, preparation);
          const how = { offline: offline === true, isOpen: view.isOpen };
          surveys.push(await takeSurvey(view, volume, preparation, how));
        } catch (error) {
          failed.push(error);
        }
      }
      await finish(context, host, surveys, options);
      const [last, ...others] = failed.reverse();
      for (const error of others) context.io.stderr(`${describeChain(error)}\n`);
      if (last !== undefined) throw last;
    });

const chooseVolume = (volumes: readonly ContractVolume[], key: string | undefined): ContractVolume => {
  const [only] = volumes;
  if (key === undefined && volumes.length === 1 && only !== undefined) return only;
  const found = volumes.find((volume) => volume.key === key);
  if (found !== undefined) return found;
  const names = volumes.map((volume) => volume.key).join(', ') || 'none';
  const reason = key === undefined ? '--volume is needed' : `the contract has no volume ${key}`;
  throw new AgentError('USAGE', { reason: `${reason}; its volumes are: ${names}` });
};

/** A disk of this machine, or a plain file with the image of one. */
const viewOf = async (host: Host, path: string, run: string): Promise<DiskView> => {
  if ((await host.files.kind(path)) === 'file') return viewImage(host, path, `${run}/images`);
  const node = (await host.files.resolve(path)) ?? path;
  const entry = (await host.disks.list()).find((disk) => disk.path === node);
  if (entry === undefined)
    throw new AgentError('FILE_UNREADABLE', { path, reason: 'it is neither a whole disk nor a plain file' });
  return viewDisk(host, entry);
};

const adoptHelp = `
For a disk from elsewhere, before it is attached for good: put its volume into a contract, then

  triseed volume adopt /dev/vdc --volume data     the disk, or better a clone of it
  triseed volume adopt disk.img --volume data     an image in a plain file

Seeds and key service are tried for real; nothing is written, the disk is opened for reading only.`;

export const adoptCommand = (context: VolumeContext): Command =>
  withJson(withConfiguration(new Command('adopt')))
    .description('rehearse what a boot would do with a disk, its clone or an image; changes nothing')
    .argument('<disk>', 'a whole disk, or a plain file with the image of one')
    .option('--volume <key>', 'which volume of the contract it shall be; not needed when there is one')
    .option('--offline', 'do not ask the key management service')
    .option('--save-observation <file>', 'keep what was found in a new file, for volume plan --observation')
    .addHelpText('after', adoptHelp)
    .action(async (path: string, options: Options & { readonly volume?: string }) => {
      const { host, preparation, volumes } = await begin(context, options.config);
      const volume = chooseVolume(volumes, options.volume);
      const view = await viewOf(host, path, preparation.settings.paths.run);
      try {
        const how = { offline: options.offline === true, isOpen: false };
        await finish(context, host, [await takeSurvey(view, volume, preparation, how)], options);
      } finally {
        await view.remove();
      }
    });
