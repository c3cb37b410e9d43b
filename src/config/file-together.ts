/**
 * What settings of the configuration file say of each other. Looked at in the file as it stands, not in what the schema has read: a fault
 * of one setting hides none of these. A value of the wrong type says nothing here: the schema reports it.
 */

/** What may stand in a file of its own, and the setting that names that file. */
export const KEPT_IN_FILES = [
  ['key', 'key_file'],
  ['webhook_secret', 'webhook_secret_file'],
] as const;
/** There the API bills a surcharge that the price list does not have. */
const REGIONAL_HOST = /\.api\.openai\.com\.?$/;

type Report = (path: readonly PropertyKey[], problem: string) => void;
type Members = Record<string, unknown>;

/** @param plain the file's content, of any form */
export function reportTogether(plain: unknown, report: Report): void {
  const { upstreams } = membersOf(plain);
  if (!Array.isArray(upstreams)) return;
  const names: unknown[] = [];
  for (const [at, each] of upstreams.entries()) {
    const value = membersOf(each);
    if (typeof value.name === 'string' && names.includes(value.name))
      report(['upstreams', at, 'name'], 'is the name of another upstream');
    names.push(value.name);
    ofUpstream(value, (path, problem) => report(['upstreams', at, ...path], problem));
  }
}

function ofUpstream(value: Members, report: Report): void {
  const { kind = 'openai', base_url: baseUrl, price_percent: pricePercent } = value;
  for (const [name, from] of KEPT_IN_FILES)
    if (value[name] !== undefined && value[from] !== undefined) report([from], `cannot stand beside ${name}`);
  if (value.admin_key !== undefined && kind !== 'openai') report(['admin_key'], 'is for kind openai');
  if (value.api_version !== undefined && kind !== 'azure') report(['api_version'], 'is for kind azure');
  const hasEnd = membersOf(value.timeouts).call_ms !== undefined;
  for (const [model, price] of Object.entries(membersOf(value.prices)))
    ofPrice(price, hasEnd, (path, problem) => report(['prices', model, ...path], problem));
  const host = typeof baseUrl === 'string' ? (URL.parse(baseUrl)?.hostname ?? '') : '';
  if (REGIONAL_HOST.test(host) && pricePercent === undefined)
    report(
      ['base_url'],
      'is a regional host, which bills more than the price list: say price_percent, as 110',
    );
  const hasNames = value.models !== undefined || Object.keys(membersOf(value.model_names)).length > 0;
  if (kind === 'azure' && !hasNames)
    report(['model_names'], 'must name the deployments of kind azure, as gpt-4.1: my-deployment');
}

/** @param hasEnd whether a call there is stopped after some time */
function ofPrice(value: unknown, hasEnd: boolean, report: Report): void {
  if (!isMembers(value)) return;
  const bySecond = value.second !== undefined;
  if (bySecond && !hasEnd) report(['second'], 'needs timeouts.call_ms, which bounds what a call may cost');
  for (const name of ['input', 'output'])
    if (!bySecond && value[name] === undefined)
      report([name], 'is missing: only a price with second may be without it');
}

function isMembers(value: unknown): value is Members {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** Those of an object; none of any other value. */
function membersOf(value: unknown): Members {
  return isMembers(value) ? value : {};
}
