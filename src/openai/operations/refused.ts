/**
 * Operations that are never forwarded, by the reason. What bypasses the gateway, is gone, administers the organization, or
 * cannot be bounded or charged. Tests hold these lists, with the tables beside them, to the API's specification.
 */
import type { Descriptor } from './descriptor.ts';
import { refused } from './descriptor.ts';

const SECRET = 'a client secret lets its holder call OpenAI past this gateway and its budgets';
const ADMINISTRATION =
  'it administers the whole organization, which no virtual key may; use an admin key of OpenAI directly';

export const REFUSED: readonly Descriptor[] = [
  ...refused(
    'realtime.secrets',
    SECRET,
    `
    /realtime/client_secrets POST
    /realtime/sessions POST
    /realtime/transcription_sessions POST
    /realtime/translations/client_secrets POST`,
  ),
  ...refused(
    'realtime.calls',
    'its audio flows between the caller and OpenAI, past this gateway',
    `
    /realtime/calls POST
    /realtime/calls/{call_id}/accept POST
    /realtime/calls/{call_id}/hangup POST
    /realtime/calls/{call_id}/refer POST
    /realtime/calls/{call_id}/reject POST`,
  ),
  ...refused(
    'live',
    'a live session hands work to other models, and no published specification bounds what that costs',
    `
    /live/sessions POST
    /live/sessions/{id}/accept POST
    /live/sessions/{id}/content GET
    /live/sessions/{id}/fork POST
    /live/sessions/{id}/hangup POST
    /live/sessions/{id}/refer POST
    /live/sessions/{id}/reject POST`,
  ),
  ...refused(
    'chatkit',
    SECRET,
    `
    /chatkit/sessions POST
    /chatkit/sessions/{session_id}/cancel POST
    /chatkit/threads GET
    /chatkit/threads/{thread_id} GET DELETE
    /chatkit/threads/{thread_id}/items GET`,
  ),
  ...refused(
    'assistants',
    'the Assistants API was shut down on 2026-08-26; use /v1/responses',
    `
    /assistants GET POST
    /assistants/{assistant_id} GET POST DELETE
    /threads POST
    /threads/runs POST
    /threads/{thread_id} GET POST DELETE
    /threads/{thread_id}/messages GET POST
    /threads/{thread_id}/messages/{message_id} GET POST DELETE
    /threads/{thread_id}/runs GET POST
    /threads/{thread_id}/runs/{run_id} GET POST
    /threads/{thread_id}/runs/{run_id}/cancel POST
    /threads/{thread_id}/runs/{run_id}/steps GET
    /threads/{thread_id}/runs/{run_id}/steps/{step_id} GET
    /threads/{thread_id}/runs/{run_id}/submit_tool_outputs POST`,
  ),
  ...refused(
    'videos',
    'the Videos API was shut down on 2026-09-24',
    `
    /videos GET POST
    /videos/characters POST
    /videos/characters/{character_id} GET
    /videos/edits POST
    /videos/extensions POST
    /videos/{video_id} GET DELETE
    /videos/{video_id}/content GET
    /videos/{video_id}/remix POST`,
  ),
  ...refused(
    'organization',
    ADMINISTRATION,
    `
    /organization/admin_api_keys GET POST
    /organization/admin_api_keys/{key_id} GET DELETE
    /organization/audit_logs GET
    /organization/certificates GET POST
    /organization/certificates/activate POST
    /organization/certificates/deactivate POST
    /organization/certificates/{certificate_id} GET POST DELETE
    /organization/costs GET
    /organization/data_retention GET POST
    /organization/external_keys GET POST
    /organization/external_keys/{id} GET DELETE
    /organization/external_keys/{id}/validate POST
    /organization/external_storage GET POST
    /organization/external_storage/{id} GET DELETE
    /organization/external_storage/{id}/validate POST
    /organization/groups GET POST
    /organization/groups/{group_id} GET POST DELETE
    /organization/groups/{group_id}/roles GET POST
    /organization/groups/{group_id}/roles/{role_id} GET DELETE
    /organization/groups/{group_id}/users GET POST
    /organization/groups/{group_id}/users/{user_id} GET DELETE
    /organization/invites GET POST
    /organization/invites/{invite_id} GET DELETE
    /organization/projects GET POST
    /organization/projects/{id}/api_keys/{id} POST
    /organization/projects/{id}/service_tier_settings GET POST
    /organization/projects/{project_id} GET POST
    /organization/projects/{project_id}/api_keys GET
    /organization/projects/{project_id}/api_keys/{api_key_id} GET DELETE
    /organization/projects/{project_id}/archive POST
    /organization/projects/{project_id}/certificates GET
    /organization/projects/{project_id}/certificates/activate POST
    /organization/projects/{project_id}/certificates/deactivate POST
    /organization/projects/{project_id}/data_retention GET POST
    /organization/projects/{project_id}/groups GET POST
    /organization/projects/{project_id}/groups/{group_id} GET DELETE
    /organization/projects/{project_id}/hosted_tool_permissions GET POST
    /organization/projects/{project_id}/model_permissions GET POST DELETE
    /organization/projects/{project_id}/rate_limits GET
    /organization/projects/{project_id}/rate_limits/{rate_limit_id} POST
    /organization/projects/{project_id}/service_accounts GET POST
    /organization/projects/{project_id}/service_accounts/{service_account_id} GET POST DELETE
    /organization/projects/{project_id}/service_accounts/{service_account_id}/api_keys POST
    /organization/projects/{project_id}/spend_alerts GET POST
    /organization/projects/{project_id}/spend_alerts/{alert_id} GET POST DELETE
    /organization/projects/{project_id}/spend_limit GET POST DELETE
    /organization/projects/{project_id}/users GET POST
    /organization/projects/{project_id}/users/{user_id} GET POST DELETE
    /organization/roles GET POST
    /organization/roles/{role_id} GET POST DELETE
    /organization/spend_alerts GET POST
    /organization/spend_alerts/{alert_id} GET POST DELETE
    /organization/spend_limit GET POST DELETE
    /organization/usage/audio_speeches GET
    /organization/usage/audio_transcriptions GET
    /organization/usage/code_interpreter_sessions GET
    /organization/usage/completions GET
    /organization/usage/decisions GET
    /organization/usage/embeddings GET
    /organization/usage/file_search_calls GET
    /organization/usage/images GET
    /organization/usage/moderations GET
    /organization/usage/vector_stores GET
    /organization/usage/web_search_calls GET
    /organization/users GET
    /organization/users/{user_id} GET POST DELETE
    /organization/users/{user_id}/roles GET POST
    /organization/users/{user_id}/roles/{role_id} GET DELETE
    /organization/workload_identity_providers GET POST
    /organization/workload_identity_providers/{id} GET POST DELETE
    /organization/workload_identity_providers/{id}/federation_rules GET POST
    /organization/workload_identity_providers/{id}/federation_rules/{id} GET POST DELETE`,
  ),
  ...refused(
    'projects',
    ADMINISTRATION,
    `
    /projects/{project_id}/groups/{group_id}/roles GET POST
    /projects/{project_id}/groups/{group_id}/roles/{role_id} GET DELETE
    /projects/{project_id}/roles GET POST
    /projects/{project_id}/roles/{role_id} GET POST DELETE
    /projects/{project_id}/users/{user_id}/roles GET POST
    /projects/{project_id}/users/{user_id}/roles/{role_id} GET DELETE`,
  ),
  // "This endpoint requires an admin API key", by which "organization owners … share fine-tuned models with other projects"
  // (OpenAPI specification 2.3.0).
  ...refused(
    'fine_tuning.permissions',
    ADMINISTRATION,
    `
    /fine_tuning/checkpoints/{fine_tuned_model_checkpoint}/permissions GET POST
    /fine_tuning/checkpoints/{fine_tuned_model_checkpoint}/permissions/{permission_id} DELETE`,
  ),
  ...refused(
    'agents',
    'an agent works on beyond its response, and nothing bounds beforehand what that costs',
    `
    /agents GET POST
    /agents/automations GET POST
    /agents/automations/{id} GET POST DELETE
    /agents/automations/{id}/invocations GET POST
    /agents/automations/{id}/invocations/{id} GET
    /agents/automations/{id}/pause POST
    /agents/automations/{id}/resume POST
    /agents/environments GET POST
    /agents/environments/templates GET POST
    /agents/environments/templates/{id} GET POST DELETE
    /agents/environments/{id} GET
    /agents/environments/{id}/files GET POST
    /agents/sessions GET POST
    /agents/sessions/{id} GET POST DELETE
    /agents/sessions/{id}/artifacts GET
    /agents/sessions/{id}/artifacts/{id} GET DELETE
    /agents/sessions/{id}/artifacts/{id}/content GET
    /agents/sessions/{id}/events GET POST
    /agents/sessions/{id}/items GET
    /agents/sessions/{id}/subagents GET
    /agents/sessions/{id}/subagents/{id} GET
    /agents/sessions/{id}/subagents/{id}/items GET
    /agents/sessions/{id}/subagents/{id}/turns GET
    /agents/sessions/{id}/subagents/{id}/turns/{id} GET
    /agents/sessions/{id}/subagents/{id}/turns/{id}/items GET
    /agents/sessions/{id}/traces GET
    /agents/sessions/{id}/turns GET
    /agents/sessions/{id}/turns/{id} GET
    /agents/sessions/{id}/turns/{id}/items GET
    /agents/{id} GET POST DELETE`,
  ),
  ...refused(
    'vaults',
    'what it keeps is for the whole organization, and cannot be told apart by team',
    `
    /vaults GET POST
    /vaults/{id} GET POST DELETE
    /vaults/{id}/credentials GET POST
    /vaults/{id}/credentials/{id} GET POST DELETE`,
  ),
  ...refused(
    'webhooks',
    'a webhook is sent the events of all teams',
    `
    /webhook_endpoints GET POST
    /webhook_endpoints/{id} GET POST DELETE
    /webhook_endpoints/{id}/rotate_secret POST
    /webhook_endpoints/{id}/test POST
    /webhook_event_types GET`,
  ),
  ...refused(
    'safety',
    'it reports on the whole organization',
    `
    /safety/alerts/{id} GET
    /safety/cases/{id} GET`,
  ),
  ...refused(
    'audio.voices',
    'no price of a custom voice is published, and what has no price is not admitted; the voices that the API names pass',
    `
    /audio/voices POST
    /audio/voices/{id} DELETE`,
  ),
  ...refused(
    'decisions',
    'it answers up to 400 questions at once, takes no limit of output, and neither how often its model reads the input for them nor what it writes is published: its usage would be billed, but nothing bounds it before; ask the model by /v1/responses',
    '/decisions POST',
  ),
];
