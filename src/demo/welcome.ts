/** The first output of the demo: the URLs, the keys, and calls that work when pasted. */

export interface WelcomeFacts {
  version: string;
  startedInMs: number;
  /** The gateway's URL, without a path. */
  url: string;
  /** The virtual key of the user's own team. */
  key: string;
  adminKey: string;
  logPath: string;
  teamName: string;
}

/** Snippets are not indented, because Python's indentation has a meaning. */
export function welcome(facts: WelcomeFacts): string {
  const { url, key, adminKey, teamName } = facts;
  const messages = '[{"role": "user", "content": "Hello!"}]';
  return `
Tollgate ${facts.version} is up after ${(facts.startedInMs / 1000).toFixed(1)} s, with its own PostgreSQL and a simulated OpenAI.
Nothing here reaches the internet or costs money.

  console    ${url}/console
             sign in with ${adminKey}
  API        ${url}/v1
  admin API  ${url}/admin/v1
  metrics    ${url}/metrics
  log        ${facts.logPath}

This key is yours: team "${teamName}", free tier, $18 for three months. Watch its line in the table below.

--- shell
curl -i ${url}/v1/chat/completions \\
  -H 'Authorization: Bearer ${key}' \\
  -H 'Content-Type: application/json' \\
  -d '{"model": "gpt-5.6-luna", "messages": ${messages}}'

--- TypeScript: in this folder, which has the SDK (npm install openai)
import OpenAI from 'openai';
const openai = new OpenAI({
  baseURL: '${url}/v1',
  apiKey: '${key}',
});
const completion = await openai.chat.completions.create({
  model: 'gpt-5.6-sol',
  messages: [{ role: 'user', content: 'Hello!' }],
});
console.log(completion.choices[0]?.message.content, completion.usage);

--- Python (pip install openai)
from openai import OpenAI
client = OpenAI(
    base_url="${url}/v1",
    api_key="${key}",
)
response = client.responses.create(model="gpt-6-astra", input="Hello!", max_output_tokens=200)
print(response.output_text, response.usage)

--- what every team spent, as an admin
curl '${url}/admin/v1/usage?group_by=team&interval=total' \\
  -H 'Authorization: Bearer ${adminKey}'

`;
}
