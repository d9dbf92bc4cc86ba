"""Checks requests and answers against Discord's OpenAPI document, and collects what it finds wrong.

The document is read from `../shared/specs` or from the folder that MOCKINGBIRD_SPECS names, and is never part of the
project. Without it nothing is checked, and `missing` says so.
"""

from __future__ import annotations

import functools
import json
import os
import re
from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[3]
SHARED = Path(os.environ.get("MOCKINGBIRD_SHARED") or ROOT.parent / "shared")
FOLDER = Path(os.environ.get("MOCKINGBIRD_SPECS") or SHARED / "specs")
DOCUMENT = FOLDER / "discord-openapi.json"

# What says nothing about a value, and what is dealt with below; anything else in the document is an error here, so that
# no rule of a newer document is passed over in silence.
SILENT = {"description", "title", "contentEncoding", "x-discord-union", "default", "deprecated", "example", "examples"}
KNOWN = SILENT | {
    "$ref", "type", "const", "enum", "format", "pattern", "oneOf", "anyOf", "allOf", "properties", "required", "items",
    "additionalProperties", "minimum", "maximum", "minLength", "maxLength", "minItems", "maxItems", "uniqueItems",
    "minProperties", "maxProperties",
}  # fmt: skip
Schema = Mapping[str, Any]


@functools.cache
def _read(path: Path) -> dict[str, Any] | None:
    return json.loads(path.read_text("utf-8")) if path.is_file() else None


class Spec:
    """One server's checker; `findings` is what tests assert to be empty."""

    def __init__(self, document: Path = DOCUMENT) -> None:
        self._document = _read(document)
        self.missing = None if self._document else f"{document} is not there: nothing is checked against Discord's spec"
        self.findings: list[str] = []
        self.checked = 0
        self.active = True  # a check takes about a millisecond: switch it off to measure speed
        self._lenient = False  # ids may come as numbers, as in the manual's own examples, but are never given so

    def request(self, method: str, route: str, path: Mapping[str, str], query: Mapping[str, str], body: Any) -> int:
        """Checks a request to `route`, a path of the document; `body` is None if there is none. The number of findings,
        which Discord would answer with a 400."""
        operation = self._operation(method, route)
        if operation is None:
            return 0
        parameters = [*self._document["paths"][route].get("parameters", []), *operation.get("parameters", [])]  # type: ignore[index]
        wrong = []
        for parameter in parameters:
            name = parameter["name"]
            given = (path if parameter["in"] == "path" else query).get(name)
            if given is not None:
                wrong += self._text(given, parameter["schema"], name)
            elif parameter.get("required"):
                wrong.append(f"{name}: is missing")
        names = {parameter["name"] for parameter in parameters if parameter["in"] == "query"}
        wrong += [f"?{name}: is not a parameter" for name in query if name not in names]
        self._lenient = True
        content = operation.get("requestBody", {}).get("content", {}).get("application/json")
        if body is not None and content is None:
            wrong.append("body: there should be none")
        elif content is not None and (body is not None or operation["requestBody"].get("required")):
            wrong += list(self.problems(body, content["schema"], "body"))
        self._lenient = False
        return self._note(f"request {method} {route}", wrong)

    def response(self, method: str, route: str, status: int, body: Any) -> int:
        """Checks an answer; 5xx are in no document."""
        operation = self._operation(method, route)
        if operation is None or status >= 500:
            return 0
        answers = operation["responses"]
        answer = answers.get(str(status)) or answers.get(f"{status // 100}XX")
        if answer is None:
            return self._note(f"response {method} {route}", [f"status {status} is not in the document"])
        content = self._resolve(answer).get("content", {}).get("application/json")
        if status == 400 and isinstance(body, dict):  # the document has numbers where Discord and its manual have names
            body = {name: value for name, value in body.items() if name != "errors"}
        if content is None:
            wrong = [] if body is None else [f"a {status} has no body"]
        else:
            wrong = list(self.problems(body, content["schema"], "body"))
        return self._note(f"response {status} {method} {route}", wrong)

    def _note(self, what: str, wrong: list[str]) -> int:
        self.checked += 1
        self.findings += [f"{what}: {problem}" for problem in wrong]
        return len(wrong)

    def _operation(self, method: str, route: str) -> dict[str, Any] | None:
        if self._document is None or not self.active:
            return None
        operation: dict[str, Any] | None = self._document["paths"].get(route, {}).get(method.lower())
        if operation is None:
            self._note(f"{method} {route}", ["is not in the document"])
        return operation

    def _resolve(self, schema: Schema) -> Schema:
        while "$ref" in schema:
            found: Any = self._document
            for part in schema["$ref"].removeprefix("#/").split("/"):
                found = found[part]
            schema = found
        return schema

    def _text(self, given: str, schema: Schema, where: str) -> list[str]:
        """Problems of a parameter, which travels as text whatever its type."""
        kinds = self._resolve(schema).get("type", "string")
        value: Any = given
        if "integer" in kinds and re.fullmatch(r"-?\d+", given):
            value = int(given)
        elif "boolean" in kinds and given.lower() in ("true", "false", "1", "0"):
            value = given.lower() in ("true", "1")
        return list(self.problems(value, schema, where))

    def problems(self, value: Any, schema: Schema, where: str) -> Iterator[str]:
        """What keeps `value` from being one of `schema`; of alternatives, what is wrong by the likeliest."""
        schema = self._resolve(schema)
        if unknown := set(schema) - KNOWN:
            raise NotImplementedError(f"the document has {unknown} in it at {where}")
        if schema.get("format") == "snowflake" and isinstance(value, int) and self._lenient:
            return
        if "type" in schema and not _is(value, schema["type"]):
            yield f"{where}: {_short(value)} is not {schema['type']}"
            return
        if value is None and "null" in schema.get("type", ()):
            return
        if "const" in schema and value != schema["const"]:
            yield f"{where}: {_short(value)} is not {schema['const']!r}"
        if "enum" in schema and value not in schema["enum"]:
            yield f"{where}: {_short(value)} is none of {_short(schema['enum'])}"
        yield from _size(value, schema, where)
        if isinstance(value, str):
            yield from _form(value, schema, where)
        for part in schema.get("allOf", ()):
            yield from self.problems(value, part, where)
        for kind in ("oneOf", "anyOf"):
            if kind in schema and not self._is_any(value, schema[kind], where):
                tried = [list(self.problems(value, part, where)) for part in schema[kind]]
                another = (f"{where}: ", f"{where}.type: ")  # what tells that it is of another kind altogether
                yield from min(tried, key=lambda found: (any(p.startswith(another) for p in found), len(found)))
        if isinstance(value, dict):
            yield from self._members(value, schema, where)
        if isinstance(value, list) and "items" in schema:
            for number, item in enumerate(value):
                yield from self.problems(item, schema["items"], f"{where}[{number}]")

    def _is_any(self, value: Any, parts: list[Schema], where: str) -> bool:
        """Asks no further than to the first problem with each: most are of another kind altogether."""
        return any(next(self.problems(value, part, where), None) is None for part in parts)

    def _members(self, value: dict[str, Any], schema: Schema, where: str) -> Iterator[str]:
        properties = schema.get("properties", {})
        for name in schema.get("required", ()):
            if name not in value:
                yield f"{where}.{name}: is missing"
        for name, item in value.items():
            if name in properties:
                yield from self.problems(item, properties[name], f"{where}.{name}")
            elif schema.get("additionalProperties") is False:
                yield f"{where}.{name}: is not a property"
            elif isinstance(schema.get("additionalProperties"), dict):
                yield from self.problems(item, schema["additionalProperties"], f"{where}.{name}")


KINDS: dict[str, tuple[type, ...]] = {
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "object": (dict,),
    "array": (list,),
    "null": (type(None),),
}


def _is(value: Any, kinds: str | list[str]) -> bool:
    for kind in [kinds] if isinstance(kinds, str) else kinds:
        if isinstance(value, KINDS[kind]) and (kind == "boolean" or not isinstance(value, bool)):
            return True
    return False


def _size(value: Any, schema: Schema, where: str) -> Iterator[str]:
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        low, high, size = schema.get("minimum"), schema.get("maximum"), float(value)
        if schema.get("format") == "int32":
            low, high = low or -(2**31), high if high is not None else 2**31 - 1
    elif isinstance(value, str):
        low, high, size = schema.get("minLength"), schema.get("maxLength"), len(value)
    elif isinstance(value, list):
        low, high, size = schema.get("minItems"), schema.get("maxItems"), len(value)
        if schema.get("uniqueItems") and len({json.dumps(item, sort_keys=True) for item in value}) < len(value):
            yield f"{where}: has an item twice"
    elif isinstance(value, dict):
        low, high, size = schema.get("minProperties"), schema.get("maxProperties"), len(value)
    else:
        return
    if low is not None and size < low:
        yield f"{where}: {size:g} is less than {low}"
    if high is not None and size > high:
        yield f"{where}: {size:g} is more than {high}"


def _form(value: str, schema: Schema, where: str) -> Iterator[str]:
    if "pattern" in schema and not re.search(schema["pattern"], value):
        yield f"{where}: {_short(value)} is not like {schema['pattern']}"
    if schema.get("format") == "date-time":
        try:
            datetime.fromisoformat(value)
        except ValueError:
            yield f"{where}: {_short(value)} is not a time"
    if schema.get("format") == "uri" and not re.match(r"[a-z][a-z0-9+.-]*:", value):
        yield f"{where}: {_short(value)} is not an address"


def _short(value: Any) -> str:
    shown = repr(value)
    return shown if len(shown) < 80 else shown[:77] + "..."
