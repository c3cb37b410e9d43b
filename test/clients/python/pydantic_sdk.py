"""Pydantic AI: responses, which is its default for OpenAI, and chat."""

import base64

from pydantic import BaseModel
from pydantic_ai import Agent, BinaryContent
from pydantic_ai.models.openai import OpenAIChatModel, OpenAIResponsesModel
from pydantic_ai.providers.openai import OpenAIProvider

MODEL = "gpt-5.6-terra"
WEATHER = "Sunny, 21 degrees."


class Trip(BaseModel):
    city: str
    days: int
    tags: list[str]


class Helper:
    def __init__(self, kind):
        self.kind = kind

    def agent(self, place, **options) -> Agent:
        provider = OpenAIProvider(base_url=place["baseUrl"], api_key=place["key"])
        return Agent(self.kind(MODEL, provider=provider), **options)

    async def first(self, place, prompt):
        return (await self.agent(place).run(prompt)).output

    async def ended(self, place, prompt):
        return (await self.agent(place).run(prompt)).response.finish_reason

    async def tools(self, place, prompt):
        calls = []

        def get_weather(city: str) -> str:
            calls.append(f"get_weather({city})")
            return WEATHER

        def get_time(zone: str) -> str:
            calls.append(f"get_time({zone})")
            return WEATHER

        await self.agent(place, tools=[get_weather, get_time]).run(prompt)
        return calls

    async def turns(self, place, prompts):
        agent, history, texts = self.agent(place), None, []
        for prompt in prompts:
            result = await agent.run(prompt, message_history=history)
            history = result.all_messages()
            texts.append(result.output)
        return texts

    async def vision(self, place, given):
        data = base64.b64decode(given["image"].split(",", 1)[1])
        result = await self.agent(place).run([given["prompt"], BinaryContent(data, media_type="image/png")])
        return result.output

    async def structured(self, place, prompt):
        return (await self.agent(place, output_type=Trip).run(prompt)).output.model_dump()

    async def stream(self, place, prompt):
        async with self.agent(place).run_stream(prompt) as result:
            return [piece async for piece in result.stream_text(delta=True, debounce_by=None)]

    async def cancel(self, place, prompt):
        async with self.agent(place).run_stream(prompt) as result:
            async for _ in result.stream_text(delta=True, debounce_by=None):
                break


CLIENTS = {"responses": Helper(OpenAIResponsesModel), "chat": Helper(OpenAIChatModel)}
