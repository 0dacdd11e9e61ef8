#!/usr/bin/env python3
"""Near-duplicates found by hearth-forge curate, datasketch and text-dedup in the same rows, against the truth.

    dedup_compare.py --forge build/release/hearth-forge --input A.json B.jsonl --work DIR [--json FILE]

The forge first turns the inputs into one file of conversations without removing any. A pair is true when the Jaccard
similarity of the rows' five-word shingle sets is at least 0.8; all such pairs are found by an exact join (prefix filtering:
two sets that similar share one of their rarest shingles). Everybody gets the same words, cut as the forge cuts them.

    pairs      found, share of them that is true (precision), share of the true ones that is found (recall)
    rows       removed when of each cluster one row stays; text-dedup tells only these
    documents/s   per CPU second, so that other work on the machine does not count: of the whole program, from file to files
                  (the forge, text-dedup), or from words to pairs (datasketch)

Needs Python 3.11 with numpy and datasketch; text-dedup is compared where it is installed in the same environment.
"""

import argparse
import collections
import importlib.util
import itertools
import json
import math
import os
import pathlib
import re
import resource
import subprocess
import sys
import time
import unicodedata

THRESHOLD = 0.8
SHINGLE_WORDS = 5
WORD = re.compile("[a-z0-9_\u0080-\U0010ffff]+|[-+*/%=<>&|^~#@$\\\\]")

OPERATOR = re.compile("[-+*/%=<>&|^~#@$\\\\]")


def words_of(row: dict) -> list[str]:
    contents = [m["content"] for m in row["messages"]] if "messages" in row else [row["text"]]
    return [word for text in contents for word in WORD.findall(unicodedata.normalize("NFC", text.casefold()))]


def shingles_of(words: list[str]) -> frozenset[str]:
    if not words:
        return frozenset()
    width = min(SHINGLE_WORDS, len(words))
    return frozenset(" ".join(words[i:i + width]) for i in range(len(words) - width + 1))


def jaccard(a: frozenset, b: frozenset) -> float:
    common = len(a & b)
    either = len(a) + len(b) - common
    return common / either if either else 0.0


def true_pairs(sets: list[frozenset]) -> set[tuple[int, int]]:
    """Every pair with a similarity of at least THRESHOLD; exact."""
    # Equal sets first: clusters of copies would otherwise be compared pair by pair.
    groups = collections.defaultdict(list)
    for row, shingles in enumerate(sets):
        if shingles:
            groups[shingles].append(row)
    distinct = sorted(groups, key=len)
    counts = collections.Counter(itertools.chain.from_iterable(distinct))
    rank = {shingle: i for i, (shingle, _) in enumerate(sorted(counts.items(), key=lambda kv: (kv[1], kv[0])))}
    pairs = set()
    index = collections.defaultdict(list)
    for number, shingles in enumerate(distinct):
        ranks = sorted(rank[s] for s in shingles)
        prefix = ranks[:len(ranks) - math.ceil(THRESHOLD * len(ranks)) + 1]
        candidates = set()
        for r in prefix:
            candidates.update(index[r])
            index[r].append(number)
        for other in candidates:
            if len(distinct[other]) >= THRESHOLD * len(shingles) and jaccard(distinct[other], shingles) >= THRESHOLD:
                pairs.update((min(a, b), max(a, b)) for a in groups[distinct[other]] for b in groups[shingles])
    for rows in groups.values():
        pairs.update(itertools.combinations(rows, 2))
    return pairs


def removed_rows(pairs, count: int) -> int:
    """How many rows go when one of each cluster stays."""
    parent = list(range(count))

    def root(row):
        while parent[row] != row:
            parent[row] = parent[parent[row]]
            row = parent[row]
        return row

    removed = 0
    for a, b in pairs:
        a, b = root(a), root(b)
        if a != b:
            parent[max(a, b)] = min(a, b)
            removed += 1
    return removed


def children_cpu_s() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def run_forge(forge: str, inputs: list[str], out: pathlib.Path, *options: str) -> dict:
    command = [forge, "curate", "--json", "--threads", "1", "--no-quality", "--languages", "any", "--no-decontaminate",
               "--no-exact", *options, "--output", str(out), "--input", *inputs]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def by_forge(forge: str, rows_file: pathlib.Path, work: pathlib.Path, count: int) -> dict:
    report = run_forge(forge, [str(rows_file)], work / "forge", "--pairs")
    pairs = set()
    for line in (work / "forge/pairs.jsonl").read_text().splitlines():
        pair = json.loads(line)
        pairs.add(tuple(sorted(int(pair[side].rsplit(":", 1)[1]) - 1 for side in ("a", "b"))))
    began = children_cpu_s()
    plain = run_forge(forge, [str(rows_file)], work / "forge-plain")
    seconds = children_cpu_s() - began
    return {"pairs": pairs, "removed": plain["removed"].get("near_duplicate", 0), "documents_per_s": count / seconds,
            "minhash_documents_per_s": plain["minhash"]["rows_per_s_per_core"]}


def by_datasketch(words: list[list[str]], sets: list[frozenset], **options) -> dict:
    from datasketch import MinHash, MinHashLSH
    began = time.process_time()
    lsh = MinHashLSH(num_perm=128, **options)
    hashes = []
    for row, tokens in enumerate(words):
        shingles = shingles_of(tokens)
        if not shingles:
            hashes.append(None)
            continue
        minhash = MinHash(num_perm=128, seed=1)
        minhash.update_batch([s.encode() for s in shingles])
        hashes.append(minhash)
        lsh.insert(row, minhash)
    signed = time.process_time()
    pairs = set()
    for row, minhash in enumerate(hashes):
        if minhash is not None:
            pairs.update((min(row, other), max(row, other)) for other in lsh.query(minhash) if other != row)
    ended = time.process_time()
    return {"pairs": pairs, "removed": removed_rows(pairs, len(words)), "documents_per_s": len(words) / (ended - began),
            "minhash_documents_per_s": len(words) / (signed - began), "bands": [lsh.b, lsh.r]}


def by_text_dedup(rows_file: pathlib.Path, work: pathlib.Path, words: list[list[str]]) -> dict | None:
    """text-dedup's MinHash program with our setting, over texts of the same words."""
    if importlib.util.find_spec("text_dedup") is None:
        return None
    texts = work / "text-dedup-input"
    texts.mkdir(parents=True, exist_ok=True)
    with open(texts / "rows.jsonl", "w") as file:
        for row, tokens in enumerate(words):
            # It splits at everything but letters and digits: operators get names.
            text = " ".join(f"op{ord(token)}" if len(token) == 1 and OPERATOR.match(token) else token for token in tokens)
            file.write(json.dumps({"row": row, "text": text}) + "\n")
    out = work / "text-dedup-output"
    command = [sys.executable, "-m", "text_dedup.minhash", "--path", "json", "--data_files", str(texts / "rows.jsonl"),
               "--split", "train", "--column", "text", "--ngram", str(SHINGLE_WORDS), "--num_perm", "128",
               "--b", "16", "--r", "8", "--threshold", str(THRESHOLD), "--min_length", "1", "--num_proc", "1",
               "--cache_dir", str(work / "text-dedup-cache"), "--output", str(out)]
    began = children_cpu_s()
    done = subprocess.run(command, capture_output=True, text=True, env=os.environ | {"HF_HUB_OFFLINE": "1"})
    seconds = children_cpu_s() - began
    if done.returncode != 0:
        return {"error": (done.stdout + done.stderr)[-600:]}
    from datasets import load_from_disk
    kept = set(load_from_disk(str(out))["row"])
    return {"kept": kept, "removed": len(words) - len(kept), "documents_per_s": len(words) / seconds}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--forge", required=True)
    parser.add_argument("--input", nargs="+", required=True)
    parser.add_argument("--work", type=pathlib.Path, required=True, help="folder for what the programs write")
    parser.add_argument("--json", type=pathlib.Path)
    arguments = parser.parse_args()

    arguments.work.mkdir(parents=True, exist_ok=True)
    run_forge(arguments.forge, arguments.input, arguments.work / "rows", "--no-near")
    rows_file = arguments.work / "rows/kept.jsonl"
    words = [words_of(json.loads(line)) for line in open(rows_file)]
    sets = [shingles_of(w) for w in words]
    began = time.perf_counter()
    truth = true_pairs(sets)
    count = len(words)
    print(f"{count} rows, {len(truth)} true pairs, {removed_rows(truth, count)} rows too many; "
          f"the exact join took {time.perf_counter() - began:.0f} s")

    results = {
        "hearth-forge curate": by_forge(arguments.forge, rows_file, arguments.work, count),
        "datasketch, its bands for 0.8": by_datasketch(words, sets, threshold=THRESHOLD),
        "datasketch, 16 bands of 8": by_datasketch(words, sets, params=(16, 8)),
        "text-dedup, 16 bands of 8": by_text_dedup(rows_file, arguments.work, words),
    }
    rows = []
    for name, result in results.items():
        if result is None or "error" in result:
            print(f"{name}: {'not installed' if result is None else result['error']}")
            continue
        row = {"program": name, "rows_removed": result["removed"], "documents_per_s": round(result["documents_per_s"])}
        if "minhash_documents_per_s" in result:
            row["minhash_documents_per_s"] = round(result["minhash_documents_per_s"])
        if "pairs" in result:
            pairs = result["pairs"]
            row |= {"pairs": len(pairs), "precision": len(pairs & truth) / max(len(pairs), 1),
                    "recall": len(pairs & truth) / max(len(truth), 1)}
        if "bands" in result:
            row["bands"] = result["bands"]
        if "kept" in result:
            # A removed row is rightly so when a true partner exists.
            partnered = {row_id for pair in truth for row_id in pair}
            gone = set(range(count)) - result["kept"]
            row["removed_with_true_partner"] = len(gone & partnered) / max(len(gone), 1)
        rows.append(row)
        print(json.dumps(row))
    if arguments.json:
        arguments.json.write_text(json.dumps({"rows": count, "true_pairs": len(truth), "results": rows}, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
