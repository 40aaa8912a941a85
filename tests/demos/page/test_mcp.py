"""The endpoints as tools of agents, over MCP, where the extra `mcp` is installed."""

import asyncio
import json
import sys

import pytest
from serving import serving

pytest.importorskip("gradio")
pytest.importorskip("mcp")
pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::DeprecationWarning")


async def tools_and_answers(address):
    from mcp import ClientSession
    from mcp.client.streamable_http import streamablehttp_client

    async with (
        streamablehttp_client(address + "gradio_api/mcp/") as (read, write, _),
        ClientSession(read, write) as session,
    ):
        await session.initialize()
        tools = (await session.list_tools()).tools
        name = next(tool.name for tool in tools if tool.name.endswith("render"))
        told = await session.call_tool(name, {"points": [[0.1, -0.2]]})
        refused = await session.call_tool(name, {"points": [[0, 0]] * 65})
        return tools, told, refused


def test_agents_find_the_endpoints_and_call_them():
    with serving(sys.executable, "-m", "latent_vizae.demos.app", "--mcp", "--first", "digits") as address:
        tools, told, refused = asyncio.run(tools_and_answers(address))
    names = {tool.name: tool for tool in tools}
    offered = {"fit", "render", "grid", "path", "place", "certify", "directions", "traverse"}
    assert {name.rsplit("_", 1)[-1] for name in names} == offered
    for tool in tools:
        assert tool.description
    render = next(tool for name, tool in names.items() if name.endswith("render"))
    assert "up to 64 points" in json.dumps(render.inputSchema)
    answer = json.loads(told.content[0].text.replace("'", '"'))
    assert answer["images"]["count"] == 1
    assert answer["points"][0] == pytest.approx([0.1, -0.2], abs=1e-6)
    assert refused.isError
    assert "Between 1 and 64" in refused.content[0].text
