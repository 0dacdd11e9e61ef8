#!/usr/bin/env python3
"""hearth-forge run, status and report, driven as users drive them: forge_recipe_test.py PATH-OF-hearth-forge.

A script stands for the program hearth, so that no model is needed.
"""

import json
import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import time
import unittest

FORGE = ""

HEARTH = """#!/bin/sh
if [ -e "$HEARTH_TEST_SLOW" ]; then
  trap 'echo stopping >&2; exit 3' INT
  echo begun >&2
  sleep 30 >/dev/null 2>&1 &
  wait
fi
echo '{"decode_tps": 35.5}'
"""

RECIPE = """name: speed
files:
  base: {path: base.gguf, licence: MIT}
stages:
  - {name: fast, kind: bench, model: base}
targets:
  - {figure: fast.decode_tps, at_least: 30}
  - {figure: fast.prefill_tps, at_least: 1}
"""


class ForgeRecipe(unittest.TestCase):
    def setUp(self):
        self.temporary = tempfile.TemporaryDirectory()
        self.addCleanup(self.temporary.cleanup)
        self.folder = pathlib.Path(self.temporary.name)
        (self.folder / "base.gguf").write_text("a model")
        (self.folder / "hearth").write_text(HEARTH)
        (self.folder / "hearth").chmod(0o755)
        (self.folder / "speed.yaml").write_text(RECIPE)
        self.slow = self.folder / "slow"
        self.environment = dict(os.environ, HEARTH_TEST_SLOW=str(self.slow))

    def forge(self, *arguments):
        return subprocess.run([FORGE, *arguments], cwd=self.folder, env=self.environment, capture_output=True, text=True,
                              timeout=120)

    def run_recipe(self, *arguments):
        return self.forge("run", "speed.yaml", "--hearth", "./hearth", *arguments)

    def test_makes_once_and_reports(self):
        plan = self.forge("run", "speed.yaml", "--dry-run")
        self.assertRegex(plan.stdout, r"^fast\s+will run\s+bench-[0-9a-f]{20}\n$")
        self.assertFalse((self.folder / "forge-runs").exists(), "a dry run leaves nothing")
        first = self.run_recipe()
        self.assertEqual(first.returncode, 0, first.stderr)
        self.assertIn("decode_tps 35.5", first.stdout)
        self.assertIn("1 stages made, 0 reused", first.stdout)
        self.assertIn("is there", self.forge("run", "speed.yaml", "--dry-run").stdout)
        self.assertIn("nothing to do", self.run_recipe().stdout)
        self.assertIn("1 stages made", self.run_recipe("--from", "fast").stdout)
        status = json.loads(self.forge("status", "--json").stdout)
        self.assertEqual(status["state"], "done")
        self.assertEqual(status["stages"][0]["figures"]["decode_tps"]["value"], 35.5)
        self.assertEqual([target["reached"] for target in status["targets"]], [True, None])
        self.assertIn("target fast.decode_tps at least 30: 35.5, reached", self.forge("status").stdout)
        report = self.forge("report", "speed", "--output", "page.html")
        self.assertEqual(report.returncode, 0, report.stderr)
        page = (self.folder / "page.html").read_text()
        self.assertIn("<title>speed</title>", page)
        self.assertIn("not measured: fast.prefill_tps", page)

    def test_errors_name_line_and_nearest_key(self):
        (self.folder / "wrong.yaml").write_text("stages:\n  - {name: a, kind: bench, modle: ./base.gguf}\n")
        wrong = self.forge("run", "wrong.yaml")
        self.assertEqual(wrong.returncode, 1)
        self.assertIn("wrong.yaml: line 2: unknown key modle of a stage of kind bench; the nearest is model", wrong.stderr)
        unknown = self.forge("run", "--explain", "benhc")
        self.assertEqual(unknown.returncode, 2)
        self.assertIn("the nearest is bench", unknown.stderr)
        self.assertIn("model: an input (model); required", self.forge("run", "--explain", "bench").stdout)
        self.assertEqual(self.forge("run").returncode, 2)
        self.assertIn("there are no runs in forge-runs", self.forge("status").stderr)
        self.assertIn("there are no runs in forge-runs", self.forge("report").stderr)

    def start_slow(self):
        self.slow.touch()
        process = subprocess.Popen([FORGE, "run", "speed.yaml", "--hearth", "./hearth"], cwd=self.folder,
                                   env=self.environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.addCleanup(process.kill)
        for _ in range(300):
            if any("begun" in log.read_text() for log in self.folder.glob("forge-runs/working/*/stage.log")):
                return process
            time.sleep(0.1)
        self.fail("the stage did not begin")

    def test_two_at_once_then_stopped_then_goes_on(self):
        process = self.start_slow()
        second = self.run_recipe()
        self.assertEqual(second.returncode, 1)
        self.assertIn(f"in use by process {process.pid} (running speed.yaml)", second.stderr)
        self.assertIn("running", self.forge("status").stdout)
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=60)
        self.assertEqual(process.returncode, 130, errors)
        self.assertIn("the same command goes on", errors)
        self.assertIn("stopped", self.forge("status").stdout)
        self.slow.unlink()
        self.assertIn("1 stages made", self.run_recipe().stdout)

    def test_killed_it_goes_on(self):
        process = self.start_slow()
        process.kill()
        process.communicate(timeout=60)
        self.assertIn("interrupted", self.forge("status").stdout)
        self.slow.unlink()
        self.assertIn("1 stages made", self.run_recipe().stdout)
        self.assertEqual(json.loads(self.forge("status", "--json").stdout)["attempts"], 2)


if __name__ == "__main__":
    FORGE = str(pathlib.Path(sys.argv.pop(1)).resolve())
    unittest.main()
