"""A logits processor for vLLM: every answer ends by itself, which the model of random weights would not do for a program that
takes no cut answer.

usage: --logits-processors ends_soon:EndsSoon, with this folder in PYTHONPATH
"""

from vllm.v1.sample.logits_processor import AdapterLogitsProcessor

TOKENS = 12
END = 1


class EndsSoon(AdapterLogitsProcessor):
    @classmethod
    def validate_params(cls, sampling_params):
        pass

    def is_argmax_invariant(self):
        return False

    def new_req_logits_processor(self, params):
        return end_after


def end_after(output_ids, logits):
    """The model cannot choose the end before, and nothing else after, TOKENS."""
    if len(output_ids) < TOKENS:
        logits[END] = float("-inf")
    else:
        logits.fill_(float("-inf"))
        logits[END] = 0
    return logits
