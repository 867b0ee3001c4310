/** Equality of plain YAML data, without regard to the order of keys. */
import { isMapping, type YamlValue } from './strict-yaml.ts';

export const isSameData = (a: YamlValue | undefined, b: YamlValue | undefined): boolean => {
  if (Array.isArray(a)) {
    const [left, right] = [a as readonly YamlValue[], b as readonly YamlValue[]];
    return Array.isArray(b) && left.length === right.length && left.every((v, i) => isSameData(v, right[i]));
  }
  if (isMapping(a)) {
    if (!isMapping(b)) return false;
    const keys = Object.keys(a);
    return keys.length === Object.keys(b).length && keys.every((k) => k in b && isSameData(a[k], b[k]));
  }
  return Object.is(a, b);
};
