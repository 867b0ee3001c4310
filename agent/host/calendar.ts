/** Calendar work with node-cron. It follows the wall clock, so it is for dates and never for polling. */
import { schedule } from 'node-cron';
import type { Calendar } from '../service-ports.ts';

// Its own logger prints coloured stacks to the console; work that is scheduled here reports its failures itself.
const silent = { info: () => {}, warn: () => {}, error: () => {}, debug: () => {} };

export const calendar: Calendar = async (expression, work) => {
  const options = { timezone: 'UTC', noOverlap: true, unref: true, logger: silent };
  const task = schedule(expression, () => work(), options);
  return { stop: () => void task.destroy() };
};
