"""The SDK of OpenAI for Python on WebSockets: responses, and realtime sessions."""

from openai import OpenAI

MODEL = "gpt-5.6-terra"


def client(place: dict) -> OpenAI:
    return OpenAI(base_url=place["baseUrl"], api_key=place["key"])


class Responses:
    def turn(self, connection, prompt, previous, order):
        connection.response.create(
            model=MODEL,
            input=prompt,
            store=False,
            previous_response_id=previous,
            metadata={"simulator": order} if order else None,
        )
        for event in connection:
            if event.type == "error":
                raise RuntimeError(event.to_json(indent=None))
            if event.type in ("response.completed", "response.incomplete"):
                return event.response
        raise RuntimeError("the connection ended")

    def talk(self, place, given):
        texts, previous = [], None
        with client(place).responses.connect() as connection:
            for prompt, order in zip(given["prompts"], given["orders"]):
                response = self.turn(connection, prompt, previous, order)
                previous = response.id
                texts.append(response.output_text)
        return texts


class Realtime:
    def until(self, connection, *types):
        for event in connection:
            if event.type == "error":
                raise RuntimeError(event.to_json(indent=None))
            if event.type in types:
                return event
        raise RuntimeError("the connection ended")

    def talk(self, place, given):
        """A text for each prompt, then the answer to what was said."""
        outputs = []
        with client(place).realtime.connect(model="gpt-realtime") as connection:
            for prompt, order in zip(given["prompts"], given["orders"]):
                content = [{"type": "input_text", "text": prompt}]
                item = {"type": "message", "role": "user", "content": content}
                connection.conversation.item.create(item=item)
                asked = {"output_modalities": ["text"], "metadata": {"simulator": order}}
                connection.response.create(response=asked if order else {"output_modalities": ["text"]})
                outputs.append(self.until(connection, "response.done").response.output[0].content[0].text)
            for audio in given["audio"]:
                connection.input_audio_buffer.append(audio=audio)
            if given["audio"]:
                done = self.until(connection, "response.done")
                outputs.append(done.response.output[0].content[0].transcript)
        return outputs


CLIENTS = {"responses": Responses(), "realtime": Realtime()}
