"""Small wrong changes to a Python file, each as the piece of text that it replaces.

Comparisons turned over or made off by one, other operators, numbers one too large, conditions
negated, arguments swapped, statements dropped. What cannot change what a program computes is left
alone: annotations, docstrings, texts of errors and of the log.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TypeAlias

COMPARISONS: Mapping[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
}
OPERATORS: Mapping[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.FloorDiv,
    ast.FloorDiv: ast.Mult,
    ast.Div: ast.Mult,
    ast.Mod: ast.FloorDiv,
    ast.LShift: ast.RShift,
    ast.RShift: ast.LShift,
    ast.BitAnd: ast.BitOr,
    ast.BitOr: ast.BitAnd,
    ast.BitXor: ast.BitOr,
}
OTHER_FUNCTIONS = {"min": "max", "max": "min", "any": "all", "all": "any"}
SILENT = ("log", "logging", "warnings")
"""What is told there is no result."""
Function: TypeAlias = "ast.FunctionDef | ast.AsyncFunctionDef"


@dataclass(frozen=True)
class Mutation:
    """Replace ``before``, which starts at byte ``start``, by ``after``; ``place`` is the function
    around it, ``shown`` its first line."""

    kind: str
    line: int
    place: str
    start: int
    before: str
    after: str
    shown: str

    def apply(self, source: str) -> str:
        """The changed file."""
        data, before = source.encode(), self.before.encode()
        end = self.start + len(before)
        assert data[self.start : end] == before, "the file is not the one that was looked at"
        return (data[: self.start] + self.after.encode() + data[end:]).decode()

    def __str__(self) -> str:
        before, after = (" ".join(text.split()) for text in (self.before, self.after))
        return f"{before} -> {after}"


def mutations(source: str) -> list[Mutation]:
    """All of a file, in the order of their places."""
    found = _Finder(source).found
    return sorted(found, key=lambda change: (change.start, change.kind, change.after))


def changes_something(change: Mutation, source: str) -> bool:
    """Whether what results is Python, and another program than before."""
    try:
        changed = ast.parse(change.apply(source))
    except SyntaxError:
        return False
    return ast.dump(changed) != ast.dump(ast.parse(source))


class _Finder(ast.NodeVisitor):
    """Collects ``found`` on its way through the tree."""

    def __init__(self, source: str) -> None:
        self.lines = source.encode().splitlines(keepends=True)
        self.starts = [0]
        for line in self.lines:
            self.starts.append(self.starts[-1] + len(line))
        self.data = source.encode()
        self.place: list[str] = []
        self.found: list[Mutation] = []
        self.visit(ast.parse(source))

    def text(self, node: ast.AST) -> tuple[int, str]:
        """Where a node starts, and its text."""
        start = self.starts[node.lineno - 1] + node.col_offset  # type: ignore[attr-defined]
        end = self.starts[node.end_lineno - 1] + node.end_col_offset  # type: ignore[attr-defined]
        return start, self.data[start:end].decode()

    def change(self, kind: str, node: ast.AST, after: str | ast.expr) -> None:
        """One mutation: ``node`` becomes ``after``."""
        start, before = self.text(node)
        if isinstance(after, ast.expr):
            after = f"({ast.unparse(after)})"
        line: int = node.lineno  # type: ignore[attr-defined]
        shown = self.lines[line - 1].decode().strip()
        place = ".".join(self.place) or "<module>"
        self.found.append(Mutation(kind, line, place, start, before, after, shown))

    # ---------------------------------------------------------------------------- what is left out

    def visit_FunctionDef(self, node: Function) -> None:
        self._inside(node, [*node.args.defaults, *node.args.kw_defaults, *node.body])

    visit_AsyncFunctionDef = visit_FunctionDef

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        self._inside(node, node.body)

    def _inside(self, node: Function | ast.ClassDef, parts: list) -> None:
        self.place.append(node.name)
        for part in parts:
            if part is not None:
                self.visit(part)
        self.place.pop()

    def visit_AnnAssign(self, node: ast.AnnAssign) -> None:
        if node.value is not None:
            self.visit(node.value)

    def visit_If(self, node: ast.If) -> None:
        if ast.unparse(node.test) == "TYPE_CHECKING":
            return
        self._negated(node.test)
        self.generic_visit(node)

    def visit_Raise(self, node: ast.Raise) -> None:
        self.change("statement dropped", node, "pass")

    def visit_Assert(self, node: ast.Assert) -> None:
        """For mistakes of our own."""

    def visit_JoinedStr(self, node: ast.JoinedStr) -> None:
        """A text."""

    def visit_Import(self, node: ast.Import) -> None: ...

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None: ...

    def visit_Subscript(self, node: ast.Subscript) -> None:
        if not isinstance(node.value, ast.Name) or node.value.id not in ("Literal", "TypeVar"):
            self.generic_visit(node)

    # ------------------------------------------------------------------------------ what is changed

    def visit_Compare(self, node: ast.Compare) -> None:
        for at, operator in enumerate(node.ops):
            operators = list(node.ops)
            operators[at] = COMPARISONS[type(operator)]()
            self.change("comparison", node, ast.Compare(node.left, operators, node.comparators))
        self.generic_visit(node)

    def visit_BinOp(self, node: ast.BinOp) -> None:
        other = OPERATORS.get(type(node.op))
        if other is not None and not _is_type(node):
            self.change("operator", node, ast.BinOp(node.left, other(), node.right))
        self.generic_visit(node)

    def visit_BoolOp(self, node: ast.BoolOp) -> None:
        other = ast.And() if isinstance(node.op, ast.Or) else ast.Or()
        self.change("operator", node, ast.BoolOp(other, node.values))
        for at in range(len(node.values)):
            left = [value for i, value in enumerate(node.values) if i != at]
            rest = left[0] if len(left) == 1 else ast.BoolOp(node.op, left)
            self.change("condition dropped", node, rest)
        self.generic_visit(node)

    def visit_UnaryOp(self, node: ast.UnaryOp) -> None:
        if isinstance(node.op, ast.USub | ast.Not | ast.Invert):
            self.change("operator", node, node.operand)
        self.generic_visit(node)

    def visit_Constant(self, node: ast.Constant) -> None:
        value = node.value
        if isinstance(value, bool):
            self.change("constant", node, str(not value))
        elif isinstance(value, int):
            self.change("constant", node, str(value + 1))
        elif isinstance(value, float):
            self.change("constant", node, repr(value * 2 + 1))

    def visit_IfExp(self, node: ast.IfExp) -> None:
        self._negated(node.test)
        self.generic_visit(node)

    def _negated(self, test: ast.expr) -> None:
        if not isinstance(test, ast.Compare | ast.UnaryOp):
            self.change("condition negated", test, ast.UnaryOp(ast.Not(), test))

    def visit_Call(self, node: ast.Call) -> None:
        if _name(node.func).split(".")[0] in SILENT:
            return
        name = _name(node.func)
        if name in OTHER_FUNCTIONS:
            self.change("function", node.func, OTHER_FUNCTIONS[name])
        plain = not any(isinstance(argument, ast.Starred) for argument in node.args)
        for at in range(len(node.args) - 1 if plain and name != "isinstance" else 0):
            one, two = self.text(node.args[at]), self.text(node.args[at + 1])
            self._swapped(node, one, two)
        if isinstance(node.func, ast.Attribute) and node.func.attr == "reshape":
            # NumPy takes every negative extent for the unknown one.
            node.args = [argument for argument in node.args if not _is_negative(argument)]
        if name == "zip":
            node.keywords = []  # strict=True is an assertion
        self.generic_visit(node)

    def _swapped(self, node: ast.Call, one: tuple[int, str], two: tuple[int, str]) -> None:
        start, before = self.text(node)
        first, second = one[0] - start, two[0] - start
        data = before.encode()
        length, other = len(one[1].encode()), len(two[1].encode())
        after = (
            data[:first] + two[1].encode() + data[first + length : second]
            + one[1].encode() + data[second + other :]
        )  # fmt: skip
        self.change("arguments swapped", node, after.decode())

    def visit_Expr(self, node: ast.Expr) -> None:
        if isinstance(node.value, ast.Call):
            if _name(node.value.func).split(".")[0] in SILENT:
                return
            self.change("statement dropped", node, "pass")
        if not isinstance(node.value, ast.Constant):
            self.generic_visit(node)

    def visit_AugAssign(self, node: ast.AugAssign) -> None:
        self.change("statement dropped", node, "pass")
        self.visit(node.value)

    def visit_Delete(self, node: ast.Delete) -> None:
        self.change("statement dropped", node, "pass")

    def visit_Continue(self, node: ast.Continue) -> None:
        self.change("statement dropped", node, "pass")

    def visit_Break(self, node: ast.Break) -> None:
        self.change("statement dropped", node, "pass")


def _name(node: ast.expr) -> str:
    """Of what is called, as far as it is one."""
    if isinstance(node, ast.Attribute):
        return f"{_name(node.value)}.{node.attr}"
    if isinstance(node, ast.Call):
        return _name(node.func)
    return node.id if isinstance(node, ast.Name) else ""


def _is_negative(node: ast.expr) -> bool:
    return isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub)


def _is_type(node: ast.BinOp) -> bool:
    """A union of types, as in ``int | None``; nothing adds texts."""
    sides: Iterator[ast.expr] = iter((node.left, node.right))
    return any(
        isinstance(side, ast.JoinedStr)
        or (isinstance(side, ast.Constant) and (side.value is None or isinstance(side.value, str)))
        or (isinstance(node.op, ast.BitOr) and isinstance(side, ast.Name) and side.id[:1].isupper()
            and not side.id.isupper())
        for side in sides
    )  # fmt: skip
