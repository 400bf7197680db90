"""Runs in the process of one run: loads a model by some engine, measures it, answers with one JSON line.

The request is one JSON object on stdin. It needs of q4engine what `bench` has, so that a build's interpreter may have
an older q4engine than the sweep's. Nothing else is printed on stdout.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any


def main() -> None:
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # libraries may print: it must not get among the answers
    request = json.load(sys.stdin)
    try:
        answer = _ENGINES[request["engine"]](request)
    except Exception as error:
        answer = {"error": str(error) or type(error).__name__}
    answers.write(json.dumps(answer) + "\n")
    answers.flush()


def _own(request: dict[str, Any]) -> dict[str, Any]:
    """q4engine's backends."""
    from q4engine import __version__, machine
    from q4engine.bench.targets import Own
    from q4engine.engine import Engine

    backend: Any = request["engine"]
    other: Any = {} if request["kv"] == "f16" else {"kv_form": request["kv"]}  # which an older build does not know
    with Engine.load(request["model"], request["threads"], request["cpus"], backend, **other) as engine:
        target = Own(engine, _context(request), request["batch"])
        rows, migrations = _measured(request, target, engine.config.vocab_size)
        facts = {
            "engine": f"q4engine {__version__}",
            "commit": machine.commit(),
            "kernels": engine.variant,
            "model": engine.config.architecture,
            "model_size": sum(tensor.n_bytes for tensor in engine.gguf.tensors.values()),
            "model_n_params": sum(tensor.n_elements for tensor in engine.gguf.tensors.values()),
        }
        has_session = hasattr(target, "session")  # an older build has none
        is_looked_into = backend == "native" and has_session
        components = []
        if request["components"] and has_session:
            components = (_components if backend == "native" else _components_of_numpy)(request, target, engine)
        tokens = _tokens(request, target, engine) if request.get("tokens") and has_session else []
        if request.get("capture") and is_looked_into:
            _capture(request, target, engine)
        texts = _tokenized(request, engine)
        samples = [["load", 1, engine.load_seconds], *texts, *rows]
        moved = migrations if backend == "native" else None
        return {"samples": samples, "facts": facts, "migrations": moved, "components": components, "tokens": tokens}


def _peer(request: dict[str, Any]) -> dict[str, Any]:
    """llama.cpp or transformers, in the interpreter that has it."""
    from q4engine.bench.peer import Peer
    from q4engine.gguf.reader import GGUFFile
    from q4engine.models import read_model

    model = Path(request["model"])
    with GGUFFile.open(model) as file:
        vocabulary = read_model(file)[0].vocab_size
        size = sum(tensor.n_bytes for tensor in file.tensors.values())
        n_params = sum(tensor.n_elements for tensor in file.tensors.values())
    python = request["python"] or sys.executable
    threads = (request["threads"], request["threads"])
    how: dict[str, Any] = {"name": request["engine"], "kv_form": request["kv"] or "f16"}  # None of who has no such axis
    with Peer(python, model, _context(request), request["batch"], threads, **how) as peer:
        texts = [["tokenize", *peer.tokenize(request["text"])]] if request.get("text") else []
        samples = [["load", 1, peer.facts["load_seconds"]], *texts, *_measured(request, peer, vocabulary)[0]]
        facts = {
            "engine": f"{peer.facts['name']} {peer.facts['version']}",
            "system": peer.facts["system"],
            "model_size": size,
            "model_n_params": n_params,
        }
        return {"samples": samples, "facts": facts, "migrations": None, "components": []}


def _context(request: dict[str, Any]) -> int:
    return max(1, int(request["depth"] + request["prompt"] + request["generate"]))


def _measured(request: dict[str, Any], target: Any, vocabulary: int) -> tuple[list[list[Any]], int]:
    """Rows of (phase, tokens, seconds): the prompt behind the depth, then the text behind the prompt; migrations."""
    from q4engine.bench.targets import random_tokens

    sizes = (request["depth"], request["prompt"], request["generate"])
    depth, prompt, generated = (random_tokens(n, vocabulary, seed) for seed, n in enumerate(sizes, 1))
    rows: list[list[Any]] = []
    migrations = 0
    for phase, behind, work in (("prefill", depth, (prompt, [])), ("decode", depth + prompt, ([], generated))):
        if not any(work):
            continue
        target.prepare(behind)
        if request["warm_up"]:
            target.run(work[0], work[1][:1])
        for _ in range(request["samples"]):
            rows.append([phase, len(work[0]) + len(work[1]), target.run(*work)])
        migrations += getattr(target, "migrations", 0)
    return rows, migrations


def _tokenized(request: dict[str, Any], engine: Any) -> list[list[Any]]:
    """A row of (phase, tokens, seconds) of the plan's text, which was not tokenised before."""
    import time

    if not request.get("text"):
        return []
    engine.tokenizer.encode("a", add_bos=False)  # what is made on first use
    start = time.perf_counter()
    n_tokens = len(engine.tokenizer.encode(request["text"], add_bos=False, parse_special=False))
    return [["tokenize", n_tokens, time.perf_counter() - start]]


def _tokens(request: dict[str, Any], target: Any, engine: Any) -> list[list[Any]]:
    """Rows of (tokens before it, seconds) of each token generated, of one more pass."""
    import time

    session = target.session
    _until_prompt(request, session, engine)
    rows = []
    for token in _made_up(request, "generate", engine):
        n_past, start = session.n_past, time.perf_counter()
        session.decode([token])
        rows.append([n_past, time.perf_counter() - start])
    return rows


def _capture(request: dict[str, Any], target: Any, engine: Any) -> None:
    """A capture by operation, of one more pass."""
    from q4engine.profiling.observer import Observation, observe

    path = Path(request["capture"])
    path.parent.mkdir(parents=True, exist_ok=True)
    target.session.truncate(0)
    if request["depth"]:
        target.session.decode(_made_up(request, "depth", engine))
    with observe(target.session, Observation(capture=path, per_op=True, cpus=request["cpus"])):
        if request["prompt"]:
            target.session.decode(_made_up(request, "prompt", engine))
        for token in _made_up(request, "generate", engine):
            target.session.decode([token])


def _until_prompt(request: dict[str, Any], session: Any, engine: Any) -> None:
    session.truncate(0)
    for what in ("depth", "prompt"):
        if request[what]:
            session.decode(_made_up(request, what, engine))


def _made_up(request: dict[str, Any], what: str, engine: Any) -> list[int]:
    from q4engine.bench.targets import random_tokens

    seed = 1 + ("depth", "prompt", "generate").index(what)
    return random_tokens(request[what], engine.config.vocab_size, seed)


def _perplexity(request: dict[str, Any]) -> dict[str, Any]:
    """Of a text, as `q4engine perplexity` has it: with its error and the number of tokens scored."""
    from q4engine.engine import Engine
    from q4engine.scoring import score, text_tokens

    with Engine.load(request["model"], request["threads"]) as engine:
        tokens = text_tokens(engine.tokenizer, Path(request["text"]).read_text("utf-8"))
        session = engine.session(n_ctx=request["context"])
        found = score(session, tokens, request["context"], n_windows=request["windows"])[0]
        return {"perplexity": [found.perplexity.value, found.perplexity.error, found.n_tokens]}


def _components(request: dict[str, Any], target: Any, engine: Any) -> list[list[Any]]:
    """Rows of (phase, operation, tokens, seconds): each operation's part of the time, of one more pass.

    Seconds of all threads, divided by their number, so that the parts of a phase add up to its time.
    """
    from q4engine.bench.targets import random_tokens
    from q4engine.profiling.counters import Counters
    from q4engine.profiling.observer import Observer
    from q4engine.profiling.recording import Level, Record, operations

    plan, spent, tokens = operations(engine), dict[tuple[str, str], float](), dict[str, int]()

    class Sum:
        def write(self, record: Record) -> None:
            phase = record.call.phase
            tokens[phase] = tokens.get(phase, 0) + record.call.n_eval
            for marks in record.marks():
                for span in record.spans(plan, marks):
                    key = (phase, span.name)
                    spent[key] = spent.get(key, 0.0) + (span.end_ns - span.start_ns) / 1e9 / record.n_threads

    session, vocabulary = target.session, engine.config.vocab_size
    session.truncate(0)
    if request["depth"]:
        session.decode(random_tokens(request["depth"], vocabulary, 1))
    observer = Observer(session, Level.OPERATIONS, Counters(state="not asked for"))
    observer.start()
    observer.late.append(Sum())
    observer.attach()
    if request["prompt"]:
        session.decode(random_tokens(request["prompt"], vocabulary, 2))
    for token in random_tokens(request["generate"], vocabulary, 3):
        session.decode([token])
    observer.finish()
    observer.stop()
    return [[phase, name, tokens[phase], seconds] for (phase, name), seconds in spent.items()]


def _components_of_numpy(request: dict[str, Any], target: Any, engine: Any) -> list[list[Any]]:
    """As `_components`, of the backend that has no recorder; none where it is too old to be watched."""
    from q4engine.profiling.recording import operations

    session, plan = target.session, operations(engine)
    decoder: Any = getattr(session, "reference", None)
    if not hasattr(decoder, "watch"):
        return []
    spent: dict[tuple[str, str, int], float] = {}
    session.truncate(0)
    if request["depth"]:
        session.decode(_made_up(request, "depth", engine))
    prompt, generated = (_made_up(request, what, engine) for what in ("prompt", "generate"))
    for phase, calls in (("prefill", [prompt] if prompt else []), ("decode", [[token] for token in generated])):
        n_tokens = sum(map(len, calls))

        def add(number: int, seconds: float, phase: str = phase, n_tokens: int = n_tokens) -> None:
            few = phase == "decode" or plan[number].last_only
            key = phase, plan[number].name(1 if few else 2), n_tokens
            spent[key] = spent.get(key, 0.0) + seconds

        decoder.watch = add
        for tokens in calls:
            session.decode(tokens)
    decoder.watch = None
    return [[phase, name, n_tokens, seconds] for (phase, name, n_tokens), seconds in spent.items()]


_ENGINES = {"native": _own, "numpy": _own, "llama.cpp": _peer, "transformers": _peer, "perplexity": _perplexity}


if __name__ == "__main__":
    main()
