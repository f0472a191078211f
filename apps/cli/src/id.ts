import { UsageError } from './exit.js';

/** All that ids, prefixes and names of ours are made of. So none of them can end a path, or lead out of it. */
const ID = /^[0-9A-Za-z][0-9A-Za-z_-]*$/;
/** In the place of a key's id this means whoever asks, which would be the management key. */
const SELF = '/v1/keys/self';

/** @param argument as the help calls it @throws UsageError naming the argument */
export function checkedId(id: string | undefined, argument: string): string {
  if (id !== undefined && ID.test(id)) return id;
  throw noId(id, argument);
}

/** The path of one of `collection`. @throws UsageError naming the argument */
export function pathTo(collection: string, id: string | undefined, argument: string): string {
  const path = `${collection}/${encodeURIComponent(checkedId(id, argument))}`;
  if (path === SELF) throw noId(id, argument, 'name the key itself');
  return path;
}

const noId = (id: string | undefined, argument: string, fix = 'write it as lists show it'): UsageError =>
  new UsageError(`<${argument}> is "${id ?? ''}", which is no id: ${fix}`);
