/** What a client asks of a node before it reads or writes: which methods it has, and who the leader is. */
import { bytesField, textField, uintField } from './protobuf.js';

export const FEATURES_PATH = '/event_store.client.server_features.ServerFeatures/GetSupportedMethods';
export const GOSSIP_PATH = '/event_store.client.gossip.Gossip/Read';
const STREAMS_SERVICE = 'event_store.client.streams.Streams';
export const READ_PATH = `/${STREAMS_SERVICE}/Read`;
export const APPEND_PATH = `/${STREAMS_SERVICE}/Append`;
export const BATCH_APPEND_PATH = `/${STREAMS_SERVICE}/BatchAppend`;
export const DELETE_PATH = `/${STREAMS_SERVICE}/Delete`;
export const TOMBSTONE_PATH = `/${STREAMS_SERVICE}/Tombstone`;

/** The version whose behaviour this server has; clients parse it and derive features from it. */
const PROTOCOL_VERSION = '25.1.0';

/** What clients may choose by. The features say what the filter and position options of Read can do. */
const SUPPORTED: readonly { path: string; features: readonly string[] }[] = [
  { path: FEATURES_PATH, features: [] },
  { path: GOSSIP_PATH, features: [] },
  { path: READ_PATH, features: ['position', 'events'] },
  { path: APPEND_PATH, features: [] },
  { path: BATCH_APPEND_PATH, features: ['deadline_duration'] },
  { path: DELETE_PATH, features: [] },
  { path: TOMBSTONE_PATH, features: [] },
];

/** SupportedMethods {methods = 1 {method_name = 1, service_name = 2, features = 3}, version = 2}, names in lower case. */
export function supportedMethods(): Buffer {
  const methods = SUPPORTED.map(({ path, features }) => {
    const [, service = '', method = ''] = path.toLowerCase().split('/');
    return bytesField(1, textField(1, method), textField(2, service), ...features.map((name) => textField(3, name)));
  });
  return Buffer.concat([...methods, textField(2, PROTOCOL_VERSION)]);
}

const LEADER = 8;
/** .NET ticks (100 ns) of the Unix epoch and per millisecond: the largest numbers on this wire that a double holds inexactly. */
const TICKS_AT_EPOCH = 621_355_968_000_000_000;
const TICKS_PER_MS = 10_000;

/** ClusterInfo with one member, this node, at an address that the client can reach. */
export function clusterInfo(node: { id: string; host: string; port: number; nowMs: number }): Buffer {
  return bytesField(
    1,
    bytesField(1, textField(2, node.id)),
    uintField(2, TICKS_AT_EPOCH + node.nowMs * TICKS_PER_MS),
    uintField(3, LEADER),
    uintField(4, 1),
    bytesField(5, textField(1, node.host), uintField(2, node.port)),
  );
}
