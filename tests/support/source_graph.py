"""Who uses whom among the source files: Python by its imports, C by its includes and by what other files define."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

REPO = Path(__file__).resolve().parents[2]
# file -> files that it uses, all as paths from the repository's root
Graph = Mapping[str, set[str]]


@dataclass(frozen=True)
class Function:
    """A function that a file defines, `lines` long from its first line to its closing brace."""

    name: str
    line: int
    lines: int
    local: bool = False  # C: static


def files(*folders: str, suffixes: tuple[str, ...] = (".py",)) -> list[str]:
    """The files of the folders and what is below them."""
    found = (path for folder in folders for path in (REPO / folder).rglob("*") if path.suffix in suffixes)
    return sorted(str(path.relative_to(REPO)) for path in found)


def c_files(*folders: str) -> list[str]:
    return files(*folders, suffixes=(".c", ".h", ".S", ".inc"))


# ---- Python ----


def _module_file(name: str, roots: Iterable[str]) -> str | None:
    """The file of module `name`; roots are what sys.path has, from the repository's root."""
    for root in roots:
        path = REPO / root / name.replace(".", "/")
        for file in (path.with_suffix(".py"), path / "__init__.py"):
            if file.is_file():
                return str(file.relative_to(REPO))
    return None


def _imported(tree: ast.AST, package: str) -> Iterator[tuple[str, str | None]]:
    """Module and name of every import, those inside functions included; name None for ``import module``."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, None) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package.split(".")[: len(package.split(".")) + 1 - node.level] if node.level else []
            module = ".".join([*base, *([node.module] if node.module else [])])
            yield from ((module, alias.name) for alias in node.names)


def imports(file: str, roots: Iterable[str] = (".", "toolchains")) -> set[str]:
    """Files of the repository that a Python file imports. ``from package import module`` is the module's alone."""
    roots = tuple(roots)
    package = ".".join(Path(file).parent.parts)
    found = set()
    for module, name in _imported(_tree(file), package):
        target = _module_file(f"{module}.{name}", roots) if name else None
        found.add(target or _module_file(module, roots))
    return {path for path in found if path is not None} - {file}


@cache
def _tree(file: str) -> ast.Module:
    return ast.parse((REPO / file).read_text(), file)


def outside_modules(file: str) -> set[str]:
    """Top-level names of all modules that a Python file imports."""
    return {module.split(".")[0] for module, _ in _imported(_tree(file), ".".join(Path(file).parent.parts))}


def python_functions(file: str) -> list[Function]:
    """All functions and methods, nested ones too."""
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef)
    found = (node for node in ast.walk(_tree(file)) if isinstance(node, kinds))
    return [Function(node.name, node.lineno, (node.end_lineno or node.lineno) - node.lineno + 1) for node in found]


# ---- C ----


def _blank(match: re.Match[str]) -> str:
    return re.sub(r"[^\n]", " ", match[0])


@cache
def c_code(file: str) -> str:
    """The text without comments, strings and preprocessor lines, at the same places."""
    text = (REPO / file).read_text()
    text = re.sub(r'//[^\n]*|/\*.*?\*/|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'', _blank, text, flags=re.DOTALL)
    return re.sub(r"^[ \t]*#(?:[^\n]*\\\n)*[^\n]*", _blank, text, flags=re.MULTILINE)


def includes(file: str) -> set[str]:
    """Headers (and other files) of the repository that a C file includes."""
    names = re.findall(r'^[ \t]*#[ \t]*include[ \t]+"([^"]+)"', (REPO / file).read_text(), re.MULTILINE)
    found = set()
    for name in names:
        beside = (REPO / file).parent / name
        if beside.is_file():
            found.add(str(beside.resolve().relative_to(REPO)))
    return found


def _top_level(code: str) -> Iterator[tuple[str, bool, int, int]]:
    """What stands outside all braces: the text before a brace or the end, whether a function's body follows it, and
    where the whole begins and ends."""
    start = depth = 0
    head: str | None = None
    for at, char in enumerate(code):
        if char == "{":
            if depth == 0 and head is None:
                head = code[start:at]
            depth += 1
        elif char == "}":
            depth -= 1
        body = char == "}" and head is not None and head.rstrip().endswith(")")
        if depth == 0 and (char == ";" or body):
            text = code[start:at] if head is None else head
            yield text, body, start + len(text) - len(text.lstrip()), at
            start, head = at + 1, None


def _name_of(head: str) -> str | None:
    """What a head outside all braces defines: the identifier before its parentheses, brackets or `=`. A macro around
    the name (`Q4_NAME(name)`) is looked through."""
    head = re.sub(r"\b[A-Z]\w*\((\w+)\)(?=\s*[(\[=])", r"\1", re.sub(r"__attribute__\s*\(\(.*?\)\)", "", head))
    match = re.match(r"[^(\[=]*?(\w+)\s*(?:[(\[=]|$)", head)
    return match[1] if match else None


def c_functions(file: str) -> list[Function]:
    """Functions that a C file defines; those that macros make are none."""
    code = c_code(file)
    found = []
    for head, is_function, start, end in _top_level(code):
        if is_function and (name := _name_of(head)):
            line, last = code.count("\n", 0, start) + 1, code.count("\n", 0, end) + 1
            found.append(Function(name, line, last - line + 1, bool(re.search(r"\bstatic\b", head))))
    return found


def c_definitions(file: str) -> set[str]:
    """Functions and objects that other files can link to."""
    found = set()
    for head, is_function, _, _ in _top_level(c_code(file)):
        no_object = re.search(r"\b(static|extern|typedef|_Static_assert)\b|^\s*(struct|enum|union)\s+\w*\s*$", head)
        is_object = "=" in head or "(" not in head
        if (is_function and not re.search(r"\bstatic\b", head)) or (is_object and not no_object):
            found.add(_name_of(head) or "")
    return {name for name in found if re.search("[a-z]", name)}  # or it is a macro that stands for something


def words(file: str) -> set[str]:
    """All identifiers in the code of a C file."""
    return set(re.findall(r"[A-Za-z_]\w*", c_code(file)))


# ---- graphs ----


def circles(graph: Graph) -> list[list[str]]:
    """Groups of files that all use each other, by whatever way (Tarjan's strongly connected components)."""
    index: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    found: list[list[str]] = []

    def visit(node: str) -> None:
        index[node] = low[node] = len(index)
        stack.append(node)
        for other in sorted(graph.get(node, ())):
            if other not in index:
                visit(other)
                low[node] = min(low[node], low[other])
            elif other in stack:
                low[node] = min(low[node], index[other])
        if low[node] == index[node]:
            group = [stack.pop()]
            while group[-1] != node:
                group.append(stack.pop())
            if len(group) > 1:
                found.append(sorted(group))

    for node in sorted(graph):
        if node not in index:
            visit(node)
    return found


def python_graph(*folders: str) -> Graph:
    return {file: imports(file) for file in files(*folders)}


def c_includes_graph(*folders: str) -> Graph:
    """C files and the files that they include."""
    return {file: includes(file) for file in c_files(*folders)}


def c_calls_graph(*folders: str) -> Graph:
    """C files and those that define what they name."""
    sources = files(*folders, suffixes=(".c",))
    defined: dict[str, set[str]] = {}
    own = {file: c_definitions(file) for file in sources}
    for file, names in own.items():
        for name in names:
            defined.setdefault(name, set()).add(file)
    # A name of one's own is no other's: kernels of the two kinds of CPU define the same ones.
    return {
        file: {other for name in (words(file) & defined.keys()) - own[file] for other in defined[name]}
        for file in sources
    }


# ---- tests ----


def named_by_tests(folder: str = "tests") -> set[str]:
    """Files of modules that test files import or name in a string ("q4engine.cli.chat"), and modules' names that test
    files are called after (`test_gguf_reader` is of both `reader` and `gguf_reader`).

    What tests share, the fuzzer and docstrings name none: each module is asked for a test of its own.
    """
    found: set[str] = set()
    for file in files(folder):
        if Path(file).name.startswith("test_"):
            found |= imports(file)
            dotted = (name for text in _strings(_tree(file)) for name in re.findall(r"[a-z]\w*(?:\.\w+)+", text))
            found |= {path for name in dotted if (path := _module_file(name, (".",)))}
            parts = Path(file).stem.split("_")[1:]
            found |= {"_".join(parts[start:]) for start in range(len(parts))}
    return found


def _strings(tree: ast.AST) -> Iterator[str]:
    """All strings that are no docstring."""
    alone = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in alone:
            yield node.value
