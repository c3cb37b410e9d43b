/** Consents of speakers to a voice of their own. They cost nothing; a voice that is made of one has no price (refused.ts). */
import { free } from './descriptor.ts';

const CONSENT = '/audio/voice_consents/{consent_id}';
/** A recording of one sentence; the API takes files of audio up to 25 MB. */
const FORM_BYTES = 26 * 1024 * 1024;

export const VOICES = [
  free({
    name: 'audio.voice_consents.create',
    method: 'POST',
    path: '/audio/voice_consents',
    request: 'multipart',
    bodyBytesMax: FORM_BYTES,
    makes: { kind: 'voice_consent', at: 'id' },
  }),
  free({
    name: 'audio.voice_consents.list',
    method: 'GET',
    path: '/audio/voice_consents',
    lists: { kind: 'voice_consent', pageMax: 100, pageDefault: 20 },
    query: ['after', 'limit'],
  }),
  free({ name: 'audio.voice_consents.retrieve', method: 'GET', path: CONSENT }),
  free({ name: 'audio.voice_consents.update', method: 'POST', path: CONSENT }),
  free({ name: 'audio.voice_consents.delete', method: 'DELETE', path: CONSENT, ends: true }),
];
