"""The Agents SDK for Python, with its default model and both APIs."""

from agents import Agent, OpenAIProvider, RunConfig, Runner, function_tool, set_tracing_disabled
from pydantic import BaseModel

# They would go to OpenAI's own host.
set_tracing_disabled(True)
WEATHER = "Sunny, 21 degrees."


class Trip(BaseModel):
    city: str
    days: int
    tags: list[str]


def is_text(event) -> bool:
    return event.type == "raw_response_event" and event.data.type == "response.output_text.delta"


class Helper:
    def __init__(self, use_responses: bool):
        self.use_responses = use_responses

    def config(self, place) -> RunConfig:
        provider = OpenAIProvider(
            base_url=place["baseUrl"], api_key=place["key"], use_responses=self.use_responses
        )
        return RunConfig(model_provider=provider)

    async def run(self, place, given, **options):
        return await Runner.run(Agent(name="helper", **options), given, run_config=self.config(place))

    async def first(self, place, prompt):
        return (await self.run(place, prompt)).final_output

    ended = first

    async def tools(self, place, prompt):
        calls = []

        @function_tool
        def get_weather(city: str) -> str:
            calls.append(f"get_weather({city})")
            return WEATHER

        @function_tool
        def get_time(zone: str) -> str:
            calls.append(f"get_time({zone})")
            return WEATHER

        await self.run(place, prompt, tools=[get_weather, get_time])
        return calls

    async def turns(self, place, prompts):
        history, texts = [], []
        for prompt in prompts:
            result = await self.run(place, [*history, {"role": "user", "content": prompt}])
            history = result.to_input_list()
            texts.append(result.final_output)
        return texts

    async def vision(self, place, given):
        image = {"type": "input_image", "image_url": given["image"], "detail": "auto"}
        content = [{"type": "input_text", "text": given["prompt"]}, image]
        return (await self.run(place, [{"role": "user", "content": content}])).final_output

    async def structured(self, place, prompt):
        return (await self.run(place, prompt, output_type=Trip)).final_output.model_dump()

    async def stream(self, place, prompt):
        result = Runner.run_streamed(Agent(name="helper"), prompt, run_config=self.config(place))
        return [event.data.delta async for event in result.stream_events() if is_text(event)]

    async def cancel(self, place, prompt):
        result = Runner.run_streamed(Agent(name="helper"), prompt, run_config=self.config(place))
        async for event in result.stream_events():
            if is_text(event):
                result.cancel()


CLIENTS = {"responses": Helper(True), "chat": Helper(False)}
