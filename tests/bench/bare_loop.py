"""The yardstick of the bench: recorded chat requests through the bare HTTP client, decoded.

python tests/bench/bare_loop.py URL BODIES.jsonl COUNT CONCURRENCY
"""

import asyncio
import json
import sys
from pathlib import Path

import httpx2


async def worker(client: httpx2.AsyncClient, url: str, bodies: list[str]) -> int:
    answered = 0
    while bodies:
        body = json.loads(bodies.pop())
        if body.get("stream"):
            async with client.stream("POST", url, json=body) as response:
                async for line in response.aiter_lines():
                    if line.startswith("data: {"):
                        json.loads(line.removeprefix("data: "))
        else:
            response = await client.post(url, json=body)
            response.json()
        answered += response.is_success
    return answered


async def ask_all(url: str, bodies: list[str], concurrency: int) -> int:
    limits = httpx2.Limits(max_connections=concurrency)
    async with httpx2.AsyncClient(limits=limits, timeout=600, trust_env=False) as client:
        workers = [worker(client, url, bodies) for _ in range(concurrency)]
        return sum(await asyncio.gather(*workers))


def main() -> None:
    url, file, count, concurrency = sys.argv[1:]
    with Path(file).open(encoding="utf-8") as lines:
        bodies = [line for line, _ in zip(lines, range(int(count)), strict=False)]
    answered = asyncio.run(ask_all(url, bodies, int(concurrency)))
    if answered != int(count):
        sys.exit(f"{answered} of {count} requests were answered")


if __name__ == "__main__":
    main()
