"""llama.cpp beside q4engine under the emulator: the driver on a stand-in of the libraries, and how its marks add up."""

from __future__ import annotations

import subprocess
from collections import Counter
from pathlib import Path

import arm64_python
import pytest
from cross import ALL_KERNELS, CrossBuild, default_toolchain, prepare
from emulate import peer
from host import NATIVE_ARM, ToolError

# As llama.cpp's: structures go by value, an operation is announced through the PLT, and the library is opened late.
STAND_IN_LLAMA = """
#include <stdint.h>
struct model_params { char b[72]; };
struct context_params { uint32_t n_ctx; char b[140]; };
struct batch { int32_t n; int32_t *tokens; char b[40]; };
int stand_in_graph(int32_t n);
void llama_backend_init(void) {}
struct model_params llama_model_default_params(void) { return (struct model_params){"abc"}; }
struct context_params llama_context_default_params(void) { return (struct context_params){7, "xyz"}; }
void *llama_model_load_from_file(const char *path, struct model_params p) { return p.b[2] == 'c' ? (void *)path : 0; }
void *llama_init_from_model(void *m, struct context_params p) { return p.n_ctx == 512 && p.b[0] == 'x' ? m : 0; }
void llama_set_n_threads(void *c, int32_t a, int32_t b) { (void)c, (void)a, (void)b; }
struct batch llama_batch_get_one(int32_t *t, int32_t n) { return (struct batch){n, t, "b"}; }
int32_t llama_decode(void *c, struct batch b) { return (void)c, b.tokens[b.n - 1] == 9 ? stand_in_graph(b.n) : 1; }
"""
STAND_IN_GGML = """
#include <dlfcn.h>
#include <stdio.h>
static int (*graph)(int);
int stand_in_graph(int n) { return graph(n); }
void ggml_backend_load_all_from_path(const char *folder) {
    char path[4096];
    snprintf(path, sizeof path, "%s/libggml-cpu-stand_in.so", folder);
    *(void **)&graph = dlsym(dlopen(path, RTLD_NOW | RTLD_LOCAL), "stand_in_compute");
}
"""
STAND_IN_BASE = """
const char *ggml_get_name(const void *node) { return *(const char *const *)node; }
const char *ggml_op_desc(const void *node) { return ((const char *const *)node)[1]; }
"""
STAND_IN_CPU = """
#include <stdbool.h>
static const char *nodes[][2] = {{"Qcur-0", "MUL_MAT"}, {"kq-0", "MUL_MAT"}, {"odd-0", "STAND_IN"}};
static void work(int n) { for (int i = 0; i < n; i++) __asm__ volatile("nop; nop; nop; nop"); }
bool ggml_cpu_extra_compute_forward(void *params, void *node) { return (void)params, (void)node, false; }
void ggml_compute_forward_rms_norm_mul_fused(const void *p, void *a, void *b) { (void)p, (void)a, (void)b; work(1000); }
int stand_in_compute(int n) {
    ggml_compute_forward_rms_norm_mul_fused(nodes, nodes, nodes);
    for (int i = 0; i < 3; i++)
        if (!ggml_cpu_extra_compute_forward(nodes, nodes[i]))
            work(10000 * n * (i + 1));
    return 0;
}
"""


@pytest.fixture(scope="module")
def stand_in(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of aarch64 libraries with llama.cpp's names; its three operations take 1, 2 and 3 parts of work."""
    folder = tmp_path_factory.mktemp("stand_in")
    toolchain = default_toolchain()
    compiler = peer.compiler(toolchain, prepare(toolchain))
    for name, text, needs in (
        ("libggml-base.so", STAND_IN_BASE, []),
        ("libggml-cpu-stand_in.so", STAND_IN_CPU, []),
        ("libggml.v0.0.0.so", STAND_IN_GGML, ["-ldl"]),
        ("libllama.v0.0.0.so", STAND_IN_LLAMA, ["-l:libggml.v0.0.0.so", "-Wl,-rpath,$ORIGIN"]),
    ):
        source = folder / f"{name}.c"
        source.write_text(text)
        flags = ["-shared", "-fPIC", "-O1", f"-Wl,-soname,{name}", f"-L{folder}"]
        subprocess.run([*compiler, *flags, source, "-o", folder / name, *needs], check=True)
    return folder


def test_the_driver_counts_calls_and_operations(stand_in: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if not NATIVE_ARM:
        arm64_python.install_root()
    monkeypatch.setattr(peer, "libraries", lambda: stand_in)
    build = CrossBuild(default_toolchain(), ALL_KERNELS)
    library, (prompt, *steps) = peer.count_peer(build, Path("model.gguf"), [4, 5, 6, 9], 2, "cortex-a72")
    assert library == "libggml-cpu-stand_in.so"
    for counts, tokens in ((prompt, 4), *((step, 1) for step in steps)):
        loop = counts["products"] - counts["norms"]  # about as much of marks in each
        assert 40_000 * tokens < counts["products"] < 80_000 * tokens
        assert counts["attention"] / counts["products"] == pytest.approx(2, rel=0.01)
        assert counts["rest"] / counts["products"] == pytest.approx(3, rel=0.02)
        assert counts["all"] == sum(count for kind, count in counts.items() if kind != "all")
        assert loop > 0
    assert len(steps) == 2


def test_a_library_that_fails_is_one_line(stand_in: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if not NATIVE_ARM:
        arm64_python.install_root()
    monkeypatch.setattr(peer, "libraries", lambda: stand_in)
    build = CrossBuild(default_toolchain(), ALL_KERNELS)
    with pytest.raises(ToolError, match=r"exit code 1: peer: llama_decode failed with 1"):
        peer.count_peer(build, Path("model.gguf"), [8], 1, "cortex-a72")


def test_phases_are_per_token() -> None:
    calls = [Counter({"all": 8_000_000, "products": 6_000_000}), *[Counter({"all": 5_000_000, "norms": 500_000})] * 2]
    found = peer.per_token(calls, 4)
    assert found["prompt of 4"] == {**dict.fromkeys(peer.KINDS, 0.0), "products": 1.5, "all": 2.0}
    assert found["decode"]["all"] == 5.0
    assert found["decode"]["norms"] == 0.5


def test_each_kind_of_a_captures_operations_has_its_row() -> None:
    """But for mixtures', which llama.cpp has no kind of its own for."""
    named = {"gemm", "gemv", "quantize_activations", "attention", "kv_store", "rms_norm", "rope", "swiglu", "embedding"}
    assert named <= set(peer.OURS) and set(peer.OURS.values()) <= set(peer.KINDS)


def test_the_table_has_both_and_their_ratio() -> None:
    theirs = {"decode": {"products": 4.0, "norms": 0.0, "all": 5.0}}
    ours = {"decode": {"products": 1.0, "norms": 0.25, "all": 1.5}}
    assert peer.render(ours, theirs, "libggml-cpu-x.so") == (
        "million instructions a token; llama.cpp's kernels: libggml-cpu-x.so\n"
        "\n"
        "decode          q4engine  llama.cpp   ratio\n"
        "products           1.000      4.000    0.25\n"
        "norms              0.250      0.000\n"
        "all                1.500      5.000    0.30\n"
    )
