/** Root keys that are rotated, suspended and enabled again while guests depend on them. */
import t from 'tap';
import { rotations, suspension } from './cases/key-stories.ts';
import { Stage } from './cases/stage.ts';

t.setTimeout(600_000);
t.jobs = 2;
const stage = await new Stage('root-keys').open('rotated', 'suspended');
t.teardown(() => stage.close());

t.test('rotation, and a grace that ends well', { buffered: true }, (t) => rotations(t, stage, 'rotated'));
t.test('suspension: grace, restart, polling, power off', { buffered: true }, (t) => suspension(t, stage, 'suspended'));
