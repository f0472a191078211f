import type { KeyspacePolicy } from '@keyledger/contracts';
import type { RotationView, SecretUseView } from '@keyledger/contracts/http';
import type { KeyState, KeyUsage, RotationOutlook, UsableSecret } from '@keyledger/domain';
import { secretView } from './key.view.js';

/** How far a rotation has come, as callers see it. */
export function rotationView(known: {
  state: KeyState;
  usage: KeyUsage;
  policy: KeyspacePolicy;
  outlook: RotationOutlook;
}): RotationView {
  const { state, usage, policy, outlook } = known;
  const [current, previous] = state.secrets;
  const { grace, rotation } = outlook;
  return {
    keyId: state.keyId,
    ...(current && { current: useView(current, usage) }),
    ...(previous && grace && { previous: useView(previous, usage) }),
    ...(grace && { grace: { ...grace, endGrace: policy.endGrace } }),
    ...(rotation && { nextRotation: rotation }),
  };
}

function useView(secret: UsableSecret, usage: KeyUsage): SecretUseView {
  const { firstUsedAt, count = 0 } = usage.find(({ secretId }) => secretId === secret.secretId) ?? {};
  return { ...secretView(secret, usage), ...(firstUsedAt !== undefined && { firstUsedAt }), count };
}
