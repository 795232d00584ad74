"""Which files a stage script really imports, however indirectly. Run as a script, it lists them in dvc.yaml."""

import ast
from pathlib import Path

from ruamel.yaml import YAML


def imported_modules(script: Path, library: Path) -> set[Path]:
    """Return the modules of the package `library` that `script` loads, with the packages they lie in."""
    found: set[Path] = set()
    todo = [script]
    while todo:
        for module in _direct(todo.pop(), library):
            if module not in found:
                found.add(module)
                todo.append(module)
    return found


def _direct(file: Path, library: Path) -> set[Path]:
    names: set[str] = set()
    for node in ast.walk(_NotForTypes().visit(ast.parse(file.read_text()))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    files: set[Path] = set()
    for name in names:
        parts = name.split(".")
        if parts[0] != library.name:
            continue
        for depth in range(1, len(parts) + 1):
            path = library.joinpath(*parts[1:depth])
            files |= {file for file in (path.with_suffix(".py"), path / "__init__.py") if file.is_file()}
    return files


class _NotForTypes(ast.NodeTransformer):
    """Takes out what only a type checker imports."""

    def visit_If(self, node: ast.If) -> ast.If | None:
        return None if getattr(node.test, "id", "") == "TYPE_CHECKING" else node


def rewrite(root: Path) -> None:
    """Replace the code that each stage of dvc.yaml lists by what its script imports; comments stay."""
    yaml = YAML()
    yaml.indent(mapping=2, sequence=4, offset=2)
    yaml.width = 200
    content = yaml.load((root / "dvc.yaml").read_text())
    for name, stage in content["stages"].items():
        script = root / f"stages/{name}.py"
        modules = sorted(str(path.relative_to(root)) for path in imported_modules(script, root / "stages/mondegreen"))
        data = sorted(dep for dep in stage["deps"] if not dep.startswith("stages/"))
        stage["deps"][:] = [*data, f"stages/{name}.py", *modules]
    with (root / "dvc.yaml").open("w") as file:
        yaml.dump(content, file)


if __name__ == "__main__":
    rewrite(Path(__file__).resolve().parent.parent)
