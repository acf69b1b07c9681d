"""Prints all routes of this vLLM, with every task and every switch, their OpenAPI document, and the parts of a message that
are not text, as JSON. Starts no engine.

Routers that need a certain model are found as modules, so that a new one is found too.
"""

import importlib
import json
import os
import pkgutil
import sys

# vLLM logs to the standard output.
os.environ["VLLM_LOGGING_LEVEL"] = "CRITICAL"
os.environ["VLLM_SERVER_DEV_MODE"] = "1"
os.environ["VLLM_ALLOW_RUNTIME_LORA_UPDATING"] = "1"

import vllm.entrypoints  # noqa: E402
from fastapi import APIRouter  # noqa: E402
from vllm.entrypoints.launchers.app import build_app  # noqa: E402
from vllm.entrypoints.launchers.cli_args import make_arg_parser  # noqa: E402
from vllm.renderers.chat_utils import MM_PARSER_MAP, TEXT_PART_TYPES  # noqa: E402
from vllm.tasks import FRONTEND_TASKS, GENERATION_TASKS, POOLING_TASKS  # noqa: E402
from vllm.utils.argparse_utils import FlexibleArgumentParser  # noqa: E402


def routers():
    """Every router of a module below vllm.entrypoints, and the modules that cannot be imported here."""
    found, failed = {}, []
    for module in pkgutil.walk_packages(vllm.entrypoints.__path__, "vllm.entrypoints."):
        if not module.name.endswith("router"):
            continue
        try:
            members = vars(importlib.import_module(module.name))
        except ImportError as error:
            failed.append(f"{module.name}: {error}")
            continue
        found.update({id(each): each for each in members.values() if isinstance(each, APIRouter)})
    return found.values(), failed


options = ["--enable-scale-out", "--enable-offline-docs", "--enable-tokenizer-info-endpoint"]
arguments = make_arg_parser(FlexibleArgumentParser()).parse_args(options)
arguments.enable_fault_tolerance = True
app = build_app(arguments, (*GENERATION_TASKS, *POOLING_TASKS, *FRONTEND_TASKS))
found, failed = routers()
for router in found:
    app.include_router(router)
parts = sorted(MM_PARSER_MAP.keys() - TEXT_PART_TYPES)
paths = sorted({route.path for route in app.routes})
json.dump({"paths": paths, "failed": failed, "parts": parts, "document": app.openapi()}, sys.stdout)
