"""native/python/stable_abi/Python.h says what CPython says: every function is exported, every declaration agrees."""

from __future__ import annotations

import ctypes
import platform
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from host import python_includes

PROTOTYPE = re.compile(r"^(?!typedef)\w[\w ]*?\**(\w+)\([^;{]*\)[^;{]*;$", re.MULTILINE)
FLAGS = ("-std=c11", "-Werror=implicit-function-declaration", "-DPy_LIMITED_API=0x030B0000")
STRUCTS = ("Py_buffer", "PyMethodDef", "PyModuleDef", "PyModuleDef_Slot", "PyType_Slot", "PyType_Spec", "PyGetSetDef")


@pytest.fixture(scope="module")
def text(repo_root: Path) -> str:
    return (repo_root / "native/python/stable_abi/Python.h").read_text()


@pytest.fixture(scope="module")
def compiler() -> str:
    path = shutil.which("cc") or shutil.which("gcc")
    if path is None:
        pytest.skip("no C compiler called cc or gcc")
    return path


@pytest.fixture(scope="module")
def real_include() -> list[str]:
    found = python_includes()
    if not found:
        pytest.skip("this Python came without its headers")
    return [f"-isystem{path}" for path in found]


def compile_and_run(compiler: str, include: list[str], source: str, folder: Path) -> str:
    path, program = folder / "probe.c", folder / "probe"
    path.write_text(source)
    subprocess.run([compiler, *FLAGS, *include, path, "-o", program], check=True, capture_output=True)
    return subprocess.run([program], check=True, capture_output=True, text=True).stdout


def test_every_declared_function_is_exported(text: str) -> None:
    names = [match[1] for match in PROTOTYPE.finditer(text)]
    assert len(names) > 80
    assert [name for name in names if not hasattr(ctypes.pythonapi, name)] == []


def test_declarations_agree_with_the_real_header(
    text: str, compiler: str, real_include: list[str], tmp_path: Path
) -> None:
    declarations = [match[0] for match in PROTOTYPE.finditer(text)]
    names = [match[1] for match in PROTOTYPE.finditer(text)]
    # CPython 3.13 made one type stricter; the library is the same
    keywords = "#if PY_VERSION_HEX < 0x030D0000\n#define KEYWORDS char **\n"
    keywords += "#else\n#define KEYWORDS char *const *\n#endif"
    declarations = [line.replace("char **, ...", "KEYWORDS, ...") for line in declarations]
    lines = [f"#undef {name}" for name in names] + [keywords, *declarations]
    # the test itself must notice a wrong declaration
    for extra, fails in (("", False), ("int PyList_New(void);", True)):
        source = tmp_path / "declarations.c"
        source.write_text("\n".join(["#include <string.h>", "#include <Python.h>", *lines, extra, ""]))
        command = [compiler, *FLAGS, *real_include, "-fsyntax-only", source]
        result = subprocess.run(command, capture_output=True, text=True)
        assert (result.returncode != 0) == fails, result.stderr


def test_constants_and_layouts_agree(
    text: str, compiler: str, real_include: list[str], repo_root: Path, tmp_path: Path
) -> None:
    constants = re.findall(r"^#define ((?:METH|PyBUF|Py_tp|Py_bf|Py_mod|Py_TPFLAGS)_\w+) ", text, re.MULTILINE)
    assert len(constants) > 20
    prints = [f'printf("{name} %ld\\n", (long)({name}));' for name in constants]
    prints += [f'printf("{name} %zu\\n", sizeof({name}));' for name in STRUCTS]
    prints += [f'printf("{field} %zu\\n", offsetof(Py_buffer, {field}));' for field in ("ndim", "format", "internal")]
    body = "\n".join(prints)
    source = f"#include <stddef.h>\n#include <stdio.h>\n#include <Python.h>\nint main(void) {{\n{body}\nreturn 0;\n}}\n"
    ours = compile_and_run(compiler, [f"-isystem{repo_root}/native/python/stable_abi"], source, tmp_path)
    theirs = compile_and_run(compiler, real_include, source, tmp_path)
    assert ours == theirs


def test_the_bindings_compile_with_it(compiler: str, repo_root: Path) -> None:
    include = str(repo_root / "native/python/stable_abi")
    kind = "arm" if platform.machine() in ("aarch64", "arm64") else "x86"
    for source in sorted((repo_root / "native/python").glob("*.c")):
        own = ["-isystem", include, "-I", repo_root / "native" / kind]
        command = [compiler, *FLAGS, *own, "-fsyntax-only", source]
        result = subprocess.run(command, capture_output=True, text=True)
        assert result.returncode == 0, result.stderr
