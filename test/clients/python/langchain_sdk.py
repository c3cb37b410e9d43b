"""LangChain for Python: chat, which is its default, and responses."""

from langchain_core.messages import HumanMessage, ToolMessage
from langchain_openai import ChatOpenAI
from pydantic import BaseModel

WEATHER = "Sunny, 21 degrees."


class Trip(BaseModel):
    """A trip."""

    city: str
    days: int
    tags: list[str]


def get_weather(city: str) -> str:
    """The weather of a city."""
    return WEATHER


def get_time(zone: str) -> str:
    """The time of a zone."""
    return WEATHER


class Model:
    def __init__(self, **options):
        self.options = options

    def at(self, place) -> ChatOpenAI:
        return ChatOpenAI(base_url=place["baseUrl"], api_key=place["key"], **self.options)

    def first(self, place, prompt):
        return self.at(place).invoke(prompt).text

    def ended(self, place, prompt):
        return str(self.at(place).invoke(prompt).response_metadata)

    def tools(self, place, prompt):
        model = self.at(place).bind_tools([get_weather, get_time])
        messages, calls = [HumanMessage(prompt)], []
        while True:
            message = model.invoke(messages)
            messages.append(message)
            if not message.tool_calls:
                return calls
            for call in message.tool_calls:
                calls.append(f"{call['name']}({next(iter(call['args'].values()))})")
                messages.append(ToolMessage(WEATHER, tool_call_id=call["id"]))

    def turns(self, place, prompts):
        messages, texts = [], []
        for prompt in prompts:
            messages.append(HumanMessage(prompt))
            message = self.at(place).invoke(messages)
            messages.append(message)
            texts.append(message.text)
        return texts

    def vision(self, place, given):
        image = {"type": "image_url", "image_url": {"url": given["image"]}}
        content = [{"type": "text", "text": given["prompt"]}, image]
        return self.at(place).invoke([HumanMessage(content)]).text

    def structured(self, place, prompt):
        return self.at(place).with_structured_output(Trip).invoke(prompt).model_dump()

    def stream(self, place, prompt):
        return [chunk.text for chunk in self.at(place).stream(prompt) if chunk.text]

    def cancel(self, place, prompt):
        stream = self.at(place).stream(prompt)
        for chunk in stream:
            if chunk.text:
                break
        stream.close()


CLIENTS = {
    "chat": Model(model="gpt-5-mini"),
    "responses": Model(model="gpt-5.6-terra", use_responses_api=True),
}
