"""Options of llama.cpp's programs that people's fingers know: which change nothing here, and which are not there.

Those that work are options of our own parsers. docs/from-llama.cpp.md is written from this table and the parsers
(tests/unit/test_cli_llama_cpp.py). Names: llama.cpp's documentation of llama-cli and llama-completion (tools/cli,
tools/completion), common/arg.cpp, and what llama-bench and llama-quantize read, as of 0c1e570 and some months later.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True)
class Flags:
    """Options of one kind. names: those of one option stand together, apart by blanks.

    arity: how many arguments each takes (argparse's nargs); only for those that are accepted.
    """

    what: str
    advice: str
    names: tuple[str, ...]
    arity: int | str = 0

    def __iter__(self) -> Iterator[list[str]]:
        return (option.split() for option in self.names)


_CPU_ALONE = "q4engine runs on CPUs alone"
_OWN_WAY = "what it does here is decided at load"

RUN_IGNORED = (
    Flags("placing on a GPU", _CPU_ALONE, ("-kvo --kv-offload", "-nkvo --no-kv-offload", "--op-offload",
          "--no-op-offload", "-cmoe --cpu-moe", "--no-host")),
    Flags("placing on a GPU", _CPU_ALONE, ("-ngl --gpu-layers --n-gpu-layers", "-sm --split-mode", "-ts --tensor-split",
          "-mg --main-gpu", "-ot --override-tensor", "-ncmoe --n-cpu-moe", "-ncffn --n-cpu-ffn", "-fit --fit",
          "-fitt --fit-target", "-fitc --fit-ctx"), 1),
    Flags("loading", _OWN_WAY, ("--mmap", "--no-mmap", "--mlock", "-dio --direct-io", "-ndio --no-direct-io",
          "--repack", "-nr --no-repack", "--check-tensors", "--warmup", "--no-warmup")),
    Flags("loading", _OWN_WAY, ("-lm --load-mode", "-lzm --lazy-mode"), 1),
    Flags("attention and the cache", "attention is of one form, whose bits are the same everywhere",
          ("-fa --flash-attn",), "?"),
    Flags("attention and the cache", "windows cost no more than the window", ("--swa-full",)),
    Flags("batches", "one size, -b, serves both", ("-ub --ubatch-size",), 1),
    Flags("waiting of threads", "threads spin for a moment, then sleep", ("--poll", "--poll-batch"), 1),
    Flags("what is shown", "stdout has the text alone, stderr the rest", ("--simple-io", "--log-disable",
          "--display-prompt", "--no-display-prompt", "--perf", "--no-perf", "--show-timings", "--no-show-timings",
          "--log-prefix", "--no-log-prefix", "--log-timestamps", "--no-log-timestamps")),
    Flags("what is shown", "colours follow the terminal and NO_COLOR", ("-co --color", "--log-colors"), "?"),
    Flags("chat", "a chat begins where no prompt is given", ("-i --interactive", "-if --interactive-first")),
    Flags("chat templates", "the model's own template is always rendered", ("--jinja",)),
    Flags("context", "nothing is ever shifted: the oldest turns of a chat are evaluated anew without",
          ("--no-context-shift",)),
)  # fmt: skip
"""Accepted by `run`, which notes that they change nothing."""

_FROM_FILE = "the model's own values are used"
_SAMPLERS = "--samplers lists those that are"
_SPECULATION = "--lookup N and --draft MODEL guess tokens; how many pay is measured"

_HUB_ABSENT = (
    Flags("one file of a repository", "-hf USER/REPO:QUANT says which by its type", ("-hff --hf-file",)),
    Flags("a login", "HF_TOKEN brings the token, `hf auth login` keeps it", ("-hft --hf-token",)),
    Flags("doing without the network", "what lies in the cache is taken so, and with HF_HUB_OFFLINE=1 nothing else",
          ("--offline",)),
)  # fmt: skip

RUN_ABSENT = (
    Flags("RoPE's scaling", _FROM_FILE, ("--rope-scaling", "--rope-scale", "--rope-freq-base", "--rope-freq-scale",
          "--yarn-orig-ctx", "--yarn-ext-factor", "--yarn-attn-factor", "--yarn-beta-slow", "--yarn-beta-fast")),
    Flags("the cache's order", "one sequence leaves no gaps", ("-dt --defrag-thold",)),
    Flags("shifting the context", "a larger -c holds more", ("--context-shift", "-gan --grp-attn-n",
          "-gaw --grp-attn-w")),
    Flags("adapters", "merge it into the model before converting", ("--lora", "--lora-scaled", "--control-vector",
          "--control-vector-scaled", "--control-vector-layer-range")),
    Flags("fetching a model", "give the path of a file", ("-mu --model-url", "-dr --docker-repo", "-cl --cache-list",
          "--gpt-oss-20b-default", "--gpt-oss-120b-default", "--vision-gemma-4b-default",
          "--vision-gemma-12b-default")),
    *_HUB_ABSENT,
    Flags("images and sound", "text models alone are run", ("-mm --mmproj", "-mmu --mmproj-url", "--mmproj-auto",
          "--no-mmproj --no-mmproj-auto", "--mmproj-offload", "--no-mmproj-offload", "-mmdev --mmproj-device",
          "--image", "--audio", "--video", "--image-min-tokens", "--image-max-tokens", "--video-fps",
          "--video-timestamp-interval", "--video-ffmpeg-dir", "-hfv -hfrv --hf-repo-v", "-hffv --hf-file-v")),
    Flags("a sampler", _SAMPLERS, ("--adaptive-target", "--adaptive-decay", "-bs --backend-sampling")),
    Flags("this of speculation", _SPECULATION, ("--spec-draft-model", "--spec-draft-threads",
          "-hfd -hfrd --hf-repo-draft --spec-draft-hf",
          "-tbd --threads-batch-draft --spec-draft-threads-batch", "-Cd --cpu-mask-draft --spec-draft-cpu-mask",
          "-Crd --cpu-range-draft --spec-draft-cpu-range", "--cpu-strict-draft --spec-draft-cpu-strict",
          "--prio-draft --spec-draft-prio", "--poll-draft --spec-draft-poll",
          "-Cbd --cpu-mask-batch-draft --spec-draft-cpu-mask-batch",
          "--cpu-strict-batch-draft --spec-draft-cpu-strict-batch", "--prio-batch-draft --spec-draft-prio-batch",
          "--poll-batch-draft --spec-draft-poll-batch", "-otd --override-tensor-draft --spec-draft-override-tensor",
          "-cmoed --cpu-moe-draft --spec-draft-cpu-moe",
          "-ncmoed --n-cpu-moe-draft --spec-draft-n-cpu-moe --spec-draft-ncmoe", "--spec-draft-n-max",
          "--spec-draft-n-min", "--draft-p-split --spec-draft-p-split", "--draft-p-min --spec-draft-p-min",
          "--spec-draft-backend-sampling", "--no-spec-draft-backend-sampling",
          "-devd --device-draft --spec-draft-device",
          "-ngld --gpu-layers-draft --n-gpu-layers-draft --spec-draft-ngl",
          "-ctkd --cache-type-k-draft --spec-draft-type-k", "-ctvd --cache-type-v-draft --spec-draft-type-v",
          "--spec-type", "--spec-default", "--spec-synth-len", "--spec-synth-rates",
          "--spec-ngram-mod-n-min", "--spec-ngram-mod-n-max",
          "--spec-ngram-mod-n-match", "--spec-ngram-simple-size-n", "--spec-ngram-simple-size-m",
          "--spec-ngram-simple-min-hits", "--spec-ngram-map-k-size-n", "--spec-ngram-map-k-size-m",
          "--spec-ngram-map-k-min-hits", "--spec-ngram-map-k4v-size-n", "--spec-ngram-map-k4v-size-m",
          "--spec-ngram-map-k4v-min-hits", "--draft-min --draft-n-min",
          "-lcs --lookup-cache-static", "-lcd --lookup-cache-dynamic")),
    Flags("saving more than the prompt", "--prompt-cache saves the prompt", ("--prompt-cache-all", "-cram --cache-ram",
          "-ctxcp --ctx-checkpoints --swa-checkpoints")),
    Flags("several sequences", "one is evaluated at a time", ("-np --parallel", "-kvu --kv-unified",
          "-no-kvu --no-kv-unified")),
    Flags("other machines", "the model runs where the command does", ("--rpc", "--server-base")),
    Flags("devices", _CPU_ALONE, ("-dev --device", "--list-devices")),
    Flags("placing of threads", "-C pins them: 0xf0 or 4-7", ("-Cr --cpu-range", "--cpu-strict", "-Cb --cpu-mask-batch",
          "-Crb --cpu-range-batch", "--cpu-strict-batch")),
    Flags("priority", "--prio is for prompts too", ("--prio-batch",)),
    Flags("thinking", "what the model writes is shown as it is", ("--reasoning-format", "-rea --reasoning",
          "--reasoning-effort", "--reasoning-budget", "--reasoning-budget-message", "--reasoning-preserve",
          "--no-reasoning-preserve")),
    Flags("templates", "--chat-template takes a file, --no-chat goes without", ("--no-jinja", "--chat-template-kwargs",
          "--skip-chat-parsing", "--no-skip-chat-parsing")),
    Flags("a prompt in bytes", "prompts are text: -f", ("-bf --binary-file",)),
    Flags("logs", "stderr can be redirected: 2> FILE", ("--log-file", "--log-jsonl", "--no-log-jsonl",
          "-lv --verbosity --log-verbosity", "--log-prompts-dir")),
    Flags("a file for the answer", "redirect stdout: > FILE", ("-o --output --output-file",)),
    Flags("control tokens in the answer", "they are left out; --json lists all token ids", ("-sp --special",)),
    Flags("a count on the way", "--json says how many tokens there are", ("-ptc --print-token-count",)),
    Flags("a begin token before each question", "--in-prefix takes its text", ("--in-prefix-bos",)),
    Flags("completion of the shell", "q4engine completion bash prints a script", ("--completion-bash",)),
    Flags("its licence", "LICENSE lies beside the package", ("--license",)),
)  # fmt: skip
"""Refused by `run`, with what to do instead."""

BENCH_ABSENT = (
    Flags("placing on a GPU", _CPU_ALONE, ("-ngl --n-gpu-layers", "-ncmoe --n-cpu-moe", "-sm --split-mode",
          "-mg --main-gpu", "-nkvo --no-kv-offload", "-dev --device", "-ts --tensor-split", "-ot --override-tensor",
          "-nopo --no-op-offload", "--no-host", "-fitt --fit-target", "-fitc --fit-ctx", "--list-devices")),
    Flags("loading", _OWN_WAY, ("-lm --load-mode", "-lzm --lazy-mode", "-mmp --mmap", "-dio --direct-io", "--repack",
          "-nr --no-repack")),
    *_HUB_ABSENT,
    Flags("attention and the cache", "attention is of one form", ("-fa --flash-attn",)),
    Flags("batches", "one size, -b, serves both", ("-ub --ubatch-size",)),
    Flags("embeddings", "text alone is generated", ("-embd --embeddings",)),
    Flags("other machines", "the model runs where the command does", ("-rpc --rpc",)),
    Flags("placing of threads", "-C pins them: 0xf0 or 4-7", ("--cpu-strict",)),
    Flags("waiting of threads", "threads spin for a moment, then sleep", ("--poll",)),
    Flags("pauses", "--cooldown rests before each repetition", ("--delay",)),
    Flags("output to stderr", "redirect stdout: > FILE", ("-oe --output-err",)),
    Flags("what is shown", "a bar is drawn where stderr is a terminal", ("--progress",)),
    Flags("what is shown", "inspect tells of the model, with --kernels of what runs it", ("-v --verbose",)),
)  # fmt: skip

_MIXTURE = "--type says how tensors' types are chosen"

QUANTIZE_ABSENT = (
    Flags("types of single tensors", _MIXTURE, ("--output-tensor-type", "--token-embedding-type", "--tensor-type",
          "--tensor-type-file", "--leave-output-tensor", "--pure")),
    Flags("a size to reach", _MIXTURE, ("--target-bpw", "--target-size", "--save-state", "--state-file")),
    Flags("a choice of importances", "--imatrix takes all that the file has", ("--include-weights",
          "--exclude-weights")),
    Flags("leaving layers out", "all are carried over", ("--prune-layers",)),
    Flags("a limit of memory", "some rows of one tensor are held at a time", ("--max-buffer-size",)),
    Flags("several files", "the output is one", ("--keep-split",)),
    Flags("a change of metadata", "run has it: --override-kv", ("--override-kv",)),
    Flags("a trial", "quantising takes seconds a GB", ("--dry-run",)),
)  # fmt: skip

_COMMON = ("placing on a GPU", "loading", "attention and the cache", "batches", "waiting of threads", "what is shown",
           "context", "RoPE's scaling", "the cache's order", "shifting the context", "adapters", "images and sound",
           "several sequences", "other machines", "devices", "placing of threads", "priority", "logs",
           "a prompt in bytes")  # fmt: skip
_COMMON_KINDS = tuple(kind for kind in (*RUN_IGNORED, *RUN_ABSENT) if kind.what in _COMMON)
"""What all programs of llama.cpp's take, whatever they do with it."""

_OF_ALL = (
    tuple(kind for kind in RUN_ABSENT if kind.what in ("fetching a model", "completion of the shell", "its licence"))
    + _HUB_ABSENT
)
_DRAWING = ("--samplers", "--sampler-seq --sampling-seq", "-s --seed", "--ignore-eos", "-l --logit-bias",
            "--temp --temperature", "--top-k", "--top-p", "--min-p", "--top-nsigma --top-n-sigma",
            "--typical --typical-p", "--xtc-probability", "--xtc-threshold", "--repeat-last-n", "--repeat-penalty",
            "--presence-penalty", "--frequency-penalty", "--dry-multiplier", "--dry-base", "--dry-allowed-length",
            "--dry-penalty-last-n", "--dry-sequence-breaker", "--dynatemp-range", "--dynatemp-exp", "--mirostat",
            "--mirostat-lr", "--mirostat-ent", "--adaptive-target", "--adaptive-decay", "-bs --backend-sampling",
            "--grammar", "--grammar-file", "-j --json-schema", "-jf --json-schema-file", "-n --predict --n-predict",
            "--keep", "-ctkd --cache-type-k-draft --spec-draft-type-k",
            "-ctvd --cache-type-v-draft --spec-draft-type-v")  # fmt: skip

PERPLEXITY_ABSENT = (
    Flags("another test", "texts are scored: -f", ("--hellaswag", "--hellaswag-tasks", "--winogrande",
          "--winogrande-tasks", "--multiple-choice", "--multiple-choice-tasks")),
    Flags("logits in a file", "--kl-base MODEL computes them as it goes", ("--kl-divergence", "--save-all-logits",
          "--kl-divergence-base")),
    Flags("windows that overlap", "they stand side by side", ("--ppl-stride",)),
    Flags("another output", "--json has all figures", ("--ppl-output-type",)),
    Flags("generating", "a text is scored as it is, nothing is drawn", _DRAWING),
    Flags("a change of metadata", "run has it: --override-kv", ("--override-kv",)),
    Flags("what is shown", "--json has all figures", ("-v --verbose --log-verbose",)),
    *_COMMON_KINDS,
    *_OF_ALL,
)  # fmt: skip

TOKENIZE_ABSENT = (
    Flags("running the model", "the vocabulary alone is read", (
          "-t --threads", "-tb --threads-batch", "-C --cpu-mask", "--numa", "--prio", "-c --ctx-size",
          "-b --batch-size", "-ctk --cache-type-k", "-ctv --cache-type-v", "--override-kv",
          "-v --verbose --log-verbose", *_DRAWING,
          *(" ".join(names) for kind in _COMMON_KINDS for names in kind))),
    *_OF_ALL,
)  # fmt: skip

ABSENT = {
    "run": RUN_ABSENT, "bench": BENCH_ABSENT, "quantize": QUANTIZE_ABSENT, "perplexity": PERPLEXITY_ABSENT,
    "tokenize": TOKENIZE_ABSENT,
}  # fmt: skip
"""Of llama-cli and llama-completion, llama-bench, llama-quantize, llama-perplexity and llama-tokenize."""


def absent(command: str, name: str) -> Flags | None:
    """What an option of llama.cpp's counterpart of a command is, where ours does not have it."""
    return next((kind for kind in ABSENT.get(command, ()) for names in kind if name in names), None)
