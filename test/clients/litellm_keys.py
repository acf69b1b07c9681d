"""Virtual keys as LiteLLM makes them: the length from its constants, the hash by its own function, taken out of its source because
the module that has it imports the whole proxy.

usage: litellm_keys.py keys < {"count"}, printed as JSON: [{"key", "token"}], or
       litellm_keys.py migrations, printed as JSON: the SQL of its migrations, in their order
"""

import ast
import importlib.util
import json
import pathlib
import secrets
import sys


def source(package, file):
    origin = importlib.util.find_spec(package).origin
    return (pathlib.Path(origin).parent / file).read_text()


def function(text, name):
    found = [node for node in ast.parse(text).body if isinstance(node, ast.FunctionDef) and node.name == name]
    names = {}
    exec(compile(ast.Module(body=found, type_ignores=[]), name, "exec"), {"Final": list}, names)
    return names[name]


def constant(text, name):
    for node in ast.parse(text).body:
        target = node.target if isinstance(node, ast.AnnAssign) else node.targets[0] if isinstance(node, ast.Assign) else None
        if isinstance(target, ast.Name) and target.id == name:
            numbers = [each.value for each in ast.walk(node.value) if isinstance(each, ast.Constant) and isinstance(each.value, int)]
            return numbers[-1]
    raise KeyError(name)


if sys.argv[1] == "migrations":
    folder = pathlib.Path(importlib.util.find_spec("litellm_proxy_extras").origin).parent / "migrations"
    print(json.dumps([file.read_text() for file in sorted(folder.glob("*/migration.sql"))]))
else:
    hash_token = function(source("litellm", "proxy/utils.py"), "hash_token")
    length = constant(source("litellm", "constants.py"), "LENGTH_OF_LITELLM_GENERATED_KEY")
    keys = [f"sk-{secrets.token_urlsafe(length)}" for _ in range(json.load(sys.stdin)["count"])]
    print(json.dumps([{"key": key, "token": hash_token(key)} for key in keys]))
