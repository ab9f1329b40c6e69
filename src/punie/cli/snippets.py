"""How common clients are told of a server of ours: text to paste, made for this very server."""

import json

KEY = "punie"
"""Most clients insist on a key; punie needs none and looks at none."""


def snippets(base_url: str, model: str, *, context: int | None, tools: bool) -> dict[str, str]:
    """The text for each client by its name, in the order to show them."""
    return {
        "shell": _shell(base_url, model),
        "Python, openai": _python(base_url, model),
        "Continue, ~/.continue/config.yaml": _continue(base_url, model),
        "Zed, settings.json (its key: export PUNIE_API_KEY=punie)": _zed(
            base_url, model, context, tools=tools
        ),
    }


def _shell(base_url: str, model: str) -> str:
    body = json.dumps({"model": model, "messages": [{"role": "user", "content": "Hello"}]})
    quoted = body.replace("'", "'\\''")
    return (
        f"export OPENAI_BASE_URL={base_url} OPENAI_API_KEY={KEY}\n"
        f"curl {base_url}/chat/completions -H 'Content-Type: application/json' -d '{quoted}'"
    )


def _python(base_url: str, model: str) -> str:
    return (
        "from openai import OpenAI\n"
        f"client = OpenAI(base_url={json.dumps(base_url)}, api_key={json.dumps(KEY)})\n"
        "client.chat.completions.create(\n"
        f"    model={json.dumps(model)}, "
        'messages=[{"role": "user", "content": "Hello"}]\n'
        ")"
    )


def _continue(base_url: str, model: str) -> str:
    """`provider: openai` with an `apiBase` (docs.continue.dev, OpenAI API compatible providers)."""
    name = json.dumps(model)
    return (
        "name: punie\nversion: 0.0.1\nschema: v1\nmodels:\n"
        f"  - name: {name}\n    provider: openai\n    model: {name}\n"
        f"    apiBase: {base_url}\n    apiKey: {KEY}"
    )


def _zed(base_url: str, model: str, context: int | None, *, tools: bool) -> str:
    """`language_models.openai_compatible` (zed.dev/docs/ai); `max_tokens` is the context there."""
    able = {"tools": tools, "images": False, "parallel_tool_calls": False}
    entry = {
        "name": model,
        "max_tokens": context or 8192,
        "capabilities": {**able, "prompt_cache_key": False},
    }
    provider = {"punie": {"api_url": base_url, "available_models": [entry]}}
    return json.dumps({"language_models": {"openai_compatible": provider}}, indent=2)
