/**
 * Real processes for the suites: Redis, the embedded event store, the apps, and whole systems of them, each on ports and
 * in folders of its own. Whatever a test leaves running is stopped when its file ends, and also when the test process
 * itself is killed. Waiting happens in `eventually` and nowhere else. The processes run what was built into dist/.
 */
export { startApp, startEventStore, type App, type AppName, type EventStoreServer } from './apps.js';
export { eventually } from './eventually.js';
export { http, type Answer, type Client } from './http.js';
export { Line } from './line.js';
export { claimPort, type PortClaim } from './ports.js';
export { isAlive, RealProcess, temporaryFolder, type ProcessOptions } from './process.js';
export { MISBEHAVIOURS, startReceiver, type Behaviour, type Delivery, type Receiver } from './receiver.js';
export { rememberRedis, startRedis, type RedisServer } from './redis.js';
export { redisCli, startRedisCluster, startRedisWithSentinel, type RedisTopology } from './redis-topologies.js';
export { startSystem, type System } from './system.js';
