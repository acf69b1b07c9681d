"""Prints the fields of vLLM's requests that are forms, as JSON."""

import json
import os

# vLLM logs to the standard output.
os.environ["VLLM_LOGGING_LEVEL"] = "CRITICAL"

from vllm.entrypoints.speech_to_text.transcription.protocol import TranscriptionRequest  # noqa: E402
from vllm.entrypoints.speech_to_text.translation.protocol import TranslationRequest  # noqa: E402

fields = {
    field.alias or name
    for request in (TranscriptionRequest, TranslationRequest)
    for name, field in request.model_fields.items()
}
print(json.dumps(sorted(fields)))
