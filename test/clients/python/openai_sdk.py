"""The SDK of OpenAI for Python: chat completions, and responses with what the API keeps."""

import json

from openai import OpenAI
from pydantic import BaseModel

MODEL = "gpt-5.6-terra"
WEATHER = "Sunny, 21 degrees."


class Trip(BaseModel):
    city: str
    days: int
    tags: list[str]


def schema(field: str) -> dict:
    properties = {field: {"type": "string"}}
    return {"type": "object", "properties": properties, "required": [field], "additionalProperties": False}


FUNCTIONS = [
    {"name": "get_weather", "description": "The weather of a city.", "parameters": schema("city")},
    {"name": "get_time", "description": "The time of a zone.", "parameters": schema("zone")},
]


def said(name: str, arguments: str) -> str:
    return f"{name}({next(iter(json.loads(arguments).values()))})"


def client(place: dict) -> OpenAI:
    return OpenAI(base_url=place["baseUrl"], api_key=place["key"])


class Chat:
    def ask(self, place, messages, **options):
        made = client(place).chat.completions.create(model=MODEL, messages=messages, **options)
        return made.choices[0]

    def first(self, place, prompt):
        return self.ask(place, [{"role": "user", "content": prompt}]).message.content

    def ended(self, place, prompt):
        return self.ask(place, [{"role": "user", "content": prompt}]).finish_reason

    def tools(self, place, prompt):
        messages = [{"role": "user", "content": prompt}]
        tools = [{"type": "function", "function": one} for one in FUNCTIONS]
        calls = []
        while True:
            message = self.ask(place, messages, tools=tools).message
            messages.append(message)
            if not message.tool_calls:
                return calls
            for call in message.tool_calls:
                calls.append(said(call.function.name, call.function.arguments))
                messages.append({"role": "tool", "tool_call_id": call.id, "content": WEATHER})

    def turns(self, place, prompts):
        messages, texts = [], []
        for prompt in prompts:
            messages.append({"role": "user", "content": prompt})
            message = self.ask(place, messages).message
            messages.append(message)
            texts.append(message.content)
        return texts

    def vision(self, place, given):
        image = {"type": "image_url", "image_url": {"url": given["image"]}}
        content = [{"type": "text", "text": given["prompt"]}, image]
        return self.ask(place, [{"role": "user", "content": content}]).message.content

    def structured(self, place, prompt):
        messages = [{"role": "user", "content": prompt}]
        made = client(place).chat.completions.parse(model=MODEL, messages=messages, response_format=Trip)
        return made.choices[0].message.parsed.model_dump()

    def pieces(self, place, prompt):
        messages = [{"role": "user", "content": prompt}]
        for chunk in client(place).chat.completions.create(model=MODEL, messages=messages, stream=True):
            if chunk.choices and chunk.choices[0].delta.content:
                yield chunk.choices[0].delta.content

    def stream(self, place, prompt):
        return list(self.pieces(place, prompt))

    def cancel(self, place, prompt):
        messages = [{"role": "user", "content": prompt}]
        stream = client(place).chat.completions.create(model=MODEL, messages=messages, stream=True)
        next(iter(stream))
        stream.close()


class Responses:
    def first(self, place, prompt):
        return client(place).responses.create(model=MODEL, input=prompt).output_text

    def ended(self, place, prompt):
        made = client(place).responses.create(model=MODEL, input=prompt)
        return f"{made.status}: {made.incomplete_details and made.incomplete_details.reason}"

    def tools(self, place, prompt):
        """The loop of the guide to function calling: outputs are appended to the input."""
        tools = [{"type": "function", "strict": True, **one} for one in FUNCTIONS]
        conversation, calls = [{"role": "user", "content": prompt}], []
        while True:
            output = client(place).responses.create(model=MODEL, input=conversation, tools=tools).output
            conversation += output
            asked = [item for item in output if item.type == "function_call"]
            if not asked:
                return calls
            for call in asked:
                calls.append(said(call.name, call.arguments))
                result = {"type": "function_call_output", "call_id": call.call_id, "output": WEATHER}
                conversation.append(result)

    def turns(self, place, prompts):
        texts, previous = [], None
        for prompt in prompts:
            made = client(place).responses.create(model=MODEL, input=prompt, previous_response_id=previous)
            previous = made.id
            texts.append(made.output_text)
        return texts

    def vision(self, place, given):
        content = [
            {"type": "input_text", "text": given["prompt"]},
            {"type": "input_image", "image_url": given["image"]},
        ]
        made = client(place).responses.create(model=MODEL, input=[{"role": "user", "content": content}])
        return made.output_text

    def structured(self, place, prompt):
        made = client(place).responses.parse(model=MODEL, input=prompt, text_format=Trip)
        return made.output_parsed.model_dump()

    def stream(self, place, prompt):
        with client(place).responses.stream(model=MODEL, input=prompt) as stream:
            return [event.delta for event in stream if event.type == "response.output_text.delta"]

    def cancel(self, place, prompt):
        with client(place).responses.stream(model=MODEL, input=prompt) as stream:
            for event in stream:
                if event.type == "response.output_text.delta":
                    return


CLIENTS = {"chat": Chat(), "responses": Responses()}
