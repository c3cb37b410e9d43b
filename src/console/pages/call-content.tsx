/** What a call said, where its team keeps it and the reader may see it: its messages, or what was sent and what came. */
import type { ComponentChildren } from 'preact';
import type { CallContent } from '../api/types.ts';
import { type Loaded, useApi } from '../api/use.ts';
import { Load } from '../parts/states.tsx';
import { useMessages } from '../shell/language.ts';
import { useMay } from '../shell/session.ts';

type Message = NonNullable<CallContent['example']>['messages'][number];

/** Reads what a call said; each reading stands in the audit log. Null: this reader may not. */
export function useContent(call: { id: string; team_id: string } | undefined): Loaded<CallContent> | null {
  const may = useMay()('contents:export', call?.team_id ?? null);
  const content = useApi<CallContent>(may && call ? `/events/${call.id}/content` : null);
  return may && call ? content : null;
}

/** The answer as text; null: it is not known, or has none. */
export function answerOf(content: CallContent | null): string | null {
  const answer = content?.edited_text ?? content?.example?.messages.at(-1)?.content;
  return typeof answer === 'string' ? answer : null;
}

export function Content({ of }: { of: Loaded<CallContent> }) {
  const t = useMessages();
  return (
    <Load of={of} lines={4}>
      {({ state, example, request, response, edited_text: edited }) => {
        if (state !== 'kept') return <p class="quiet">{t.content.states[state]}</p>;
        return (
          <dl class="said">
            {example === null ? (
              <>
                <Said who={t.content.request} text={request ?? ''} />
                <Said who={t.content.response} text={response ?? ''} />
              </>
            ) : (
              example.messages.map((message, index) => (
                <Said key={index} who={message.role} text={textOf(message)} />
              ))
            )}
            {edited !== null && <Said who={t.labels.names.edited} text={edited} />}
          </dl>
        );
      }}
    </Load>
  );
}

function Said({ who, text }: { who: ComponentChildren; text: string }) {
  return (
    <div>
      <dt>{who}</dt>
      <dd>{text}</dd>
    </div>
  );
}

/** Text as it is; calls, and what is beside the text, as JSON. */
function textOf({ role: _, content, ...more }: Message): string {
  const said =
    typeof content === 'string' ? content : content === undefined ? '' : JSON.stringify(content, null, 2);
  const rest = Object.keys(more).length === 0 ? '' : JSON.stringify(more, null, 2);
  return [said, rest].filter((text) => text !== '').join('\n');
}
