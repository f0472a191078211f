/**
 * What a management credential may do. A credential is a key of the keyspace `system` whose scopes are these, each
 * optionally bound to one keyspace: `keys:issue@acme`.
 */
export const MANAGEMENT_SCOPES = [
  'keyspaces:read',
  'keyspaces:create',
  'keyspaces:update',
  'keys:read',
  'keys:issue',
  'keys:rotate',
  'keys:revoke',
  'keys:update',
  'keys:import',
  'verify',
  'leaks:report',
  'leaks:read',
  'leaks:resolve',
  'channels:read',
  'channels:write',
  'audit:read',
  'audit:export',
  'privacy:read',
  'privacy:erase',
  'reviews:read',
  'reviews:write',
  'reviews:attest',
  'system:read',
  'system:operate',
] as const;
export type ManagementScope = (typeof MANAGEMENT_SCOPES)[number];

/** The groups that `group:*` grants whole. */
export const MANAGEMENT_GROUPS = [
  'keyspaces',
  'keys',
  'leaks',
  'channels',
  'audit',
  'privacy',
  'reviews',
  'system',
] as const;

/** What the first admin credential holds. */
export const ADMIN_SCOPES: readonly string[] = [...MANAGEMENT_GROUPS.map((group) => `${group}:*`), 'verify'];

/** The groups that concern no keyspace: bound to one, their scopes would either mean nothing or far too much. */
const UNBOUND_GROUPS = ['privacy:', 'system:'];

const isUnbound = (scope: string): boolean => UNBOUND_GROUPS.some((group) => scope.startsWith(group));

/**
 * Whether a text is a scope that a key of the keyspace `system` may hold: known, or a known group's `:*`; and bound or
 * not, but for the scopes of the groups `privacy` and `system`, which act on the whole.
 */
export function isManagementScope(text: string): boolean {
  const [scope = '', keyspaceId, ...rest] = text.split('@');
  if (rest.length > 0) return false;
  if (keyspaceId !== undefined && (isUnbound(scope) || !KEYSPACE_ID.test(keyspaceId))) return false;
  return (
    (MANAGEMENT_SCOPES as readonly string[]).includes(scope) ||
    MANAGEMENT_GROUPS.some((group) => scope === `${group}:*`)
  );
}

const KEYSPACE_ID = /^[a-z][a-z0-9]{1,11}$/;

/**
 * The keyspaces in which held scopes grant `wanted`: `'all'`, or the ids to which they are bound (none: not granted).
 */
export function reachOf(held: readonly string[], wanted: ManagementScope): 'all' | readonly string[] {
  const group = groupOf(wanted);
  const bound: string[] = [];
  for (const text of held) {
    const at = text.indexOf('@');
    const scope = at < 0 ? text : text.slice(0, at);
    if (scope !== wanted && scope !== group) continue;
    if (at < 0) return 'all';
    if (!isUnbound(scope)) bound.push(text.slice(at + 1));
  }
  return bound;
}

/** The scope that grants the whole group of another; one without a colon stands alone. */
function groupOf(scope: string): string | undefined {
  const colon = scope.indexOf(':');
  return colon < 0 ? undefined : `${scope.slice(0, colon)}:*`;
}

/**
 * Whether a credential with the scopes `held` may hand `wanted` to another: it must hold at least as much itself, so
 * that nobody mints a credential mightier than his own. What is no management scope may be handed on by nobody.
 */
export function mayGrant(held: readonly string[], wanted: string): boolean {
  if (!isManagementScope(wanted)) return false;
  const [scope = '', keyspaceId] = wanted.split('@');
  const group = groupOf(scope);
  return held.some((text) => {
    const [own = '', bound] = text.split('@');
    return (own === scope || own === group) && (bound === undefined || bound === keyspaceId);
  });
}
