/** `/v1/realtime/translations`: audio in, translated audio and text out, billed by the second of audio, on one line a session. */
import { type ApiError, invalidRequest, unknownModel } from './errors.ts';
import { isObject, type JsonObject } from './fields.ts';
import type { InvoiceLine } from './invoice.ts';
import { NO_USAGE } from './invoice.ts';
import { priceTranslation } from './realtime-bill.ts';
import type { Session } from './socket.ts';
import { newId, nowSeconds } from './stored.ts';
import { words } from './words.ts';

const FRAME_MS = 200;
const BYTES_PER_MS = 48;
/** So much is heard before a fault cuts the connection. */
const CUT_MS = 1000;

export function serveTranslation(session: Session): ApiError | null {
  const model = session.search.get('model') ?? '';
  if (priceTranslation(model, 0) === null) return unknownModel(model);
  const work = session.begin('realtime.translation');
  work.entry.model = model;
  const config: JsonObject = {
    id: newId('sess_', work.random),
    type: 'translation',
    model,
    expires_at: nowSeconds() + 3600,
    audio: { input: { transcription: null, noise_reduction: null }, output: { language: 'en' } },
  };
  let heardMs = 0;
  let frames = 0;
  let line: InvoiceLine | null = null;
  const send = (type: string, fields: object = {}): void =>
    session.send({ type, event_id: newId('event_', work.random), ...fields });
  const fail = ({ type, code, message, param }: ApiError): void =>
    send('error', { error: { type, code, message, param, event_id: null } });
  const append = (audio: unknown): void => {
    heardMs += Buffer.from(String(audio ?? ''), 'base64').length / BYTES_PER_MS;
    line ??= session.bill(work, 200, 0n);
    session.state.invoice.amend(line, NO_USAGE, priceTranslation(model, heardMs / 1000) ?? 0n);
    if (work.fault?.name === 'cut_mid_stream' && heardMs >= CUT_MS) session.cut();
    for (; frames < Math.floor(heardMs / FRAME_MS); frames++) {
      const place = { elapsed_ms: (frames + 1) * FRAME_MS };
      send('session.output_audio.delta', {
        ...place,
        delta: Buffer.alloc(240, frames).toString('base64'),
        sample_rate: 24000,
        channels: 1,
        format: 'pcm16',
      });
      if (frames % 5 === 0)
        send('session.output_transcript.delta', { ...place, delta: words(work.random, 1, true)[0] });
    }
  };
  session.onOpen = () => send('session.created', { session: config });
  session.onInvalid = fail;
  session.onMessage = (event) => {
    if (event.type === 'session.update') {
      if (isObject(event.session)) Object.assign(config, { audio: event.session.audio ?? config.audio });
      send('session.updated', { session: config });
    } else if (event.type === 'session.input_audio_buffer.append') append(event.audio);
    else if (event.type === 'session.close') {
      if (line !== null) line.completed = true;
      send('session.closed');
      session.close(1000, '');
    } else fail(invalidRequest(`Invalid value: '${String(event.type)}'.`, 'type', 'invalid_value'));
  };
  return null;
}
