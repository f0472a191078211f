/** Whether two JSON values are the same, the order of an object's members aside. What is `undefined` is not there. */
export function sameJson(one: unknown, other: unknown): boolean {
  if (one === other) return true;
  if (typeof one !== 'object' || typeof other !== 'object' || one === null || other === null) return false;
  if (Array.isArray(one) !== Array.isArray(other)) return false;
  const [left, right] = [members(one), members(other)];
  return left.size === right.size && [...left].every(([name, value]) => sameJson(value, right.get(name)));
}

function members(value: object): Map<string, unknown> {
  return new Map(Object.entries(value).filter(([, member]) => member !== undefined));
}
