import { testPython } from './python.ts';

const denied = { deniedRequests: 1, denied: /grant/ };

testPython('openai (Python)', 'openai_sdk', {
  chat: { ...denied, shortened: /^length$/ },
  responses: { ...denied, shortened: /^incomplete: max_output_tokens$/ },
});
testPython('openai-agents', 'openai_agents', {
  responses: { ...denied, shortened: /\S/ },
  chat: { ...denied, shortened: /\S/ },
});
testPython('langchain-openai', 'langchain_sdk', {
  chat: { ...denied, shortened: /length/ },
  responses: { ...denied, shortened: /max_output_tokens/ },
});
testPython('pydantic-ai', 'pydantic_sdk', {
  responses: { ...denied, shortened: /^length$/ },
  chat: { ...denied, shortened: /^length$/ },
});
