"""The files of the project, for the checks: what git tracks, or every file where there is no git (an unpacked archive, a
test's folder)."""

import os
import pathlib
import subprocess

SKIPPED = {".git", "build", "node_modules", "dist", "__pycache__"}


def project_files(root: pathlib.Path) -> list[str]:
    """Paths relative to root, sorted. A tracked file that was deleted in the work tree is left out."""
    if (root / ".git").exists():
        listed = subprocess.run(["git", "-c", f"safe.directory={root}", "-C", str(root), "ls-files", "-z"],
                                capture_output=True, text=True, check=True).stdout
        names = [name for name in listed.split("\0") if name]
    else:
        names = []
        for folder, folders, files in os.walk(root):
            folders[:] = [name for name in folders if name not in SKIPPED]
            names += [str((pathlib.Path(folder) / name).relative_to(root)) for name in files]
    return sorted(name for name in names if (root / name).is_file())


def write_files(root: pathlib.Path, files: dict[str, str | bytes]) -> None:
    """Makes the given files; for the self-tests."""
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())


def run_check(find_faults, self_test, argv: list[str], what: str) -> int:
    """The main of every check: no argument checks this project, --self-test shows that the check can fail."""
    if argv == ["--self-test"]:
        self_test()
        print(f"{what}: self-test passed")
        return 0
    if argv:
        print(f"usage: {what} [--self-test]")
        return 2
    faults = find_faults(pathlib.Path(__file__).resolve().parent.parent)
    for fault in faults:
        print(fault)
    print(f"{what}: {len(faults)} fault(s)" if faults else f"{what}: nothing found")
    return 1 if faults else 0
