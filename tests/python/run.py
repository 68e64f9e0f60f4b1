"""Runs every test_*.py of this folder and ends with the line "N passed, N failed, N skipped".

usage: python tests/python/run.py    (interpreter: .setun/python/bin/python, which scripts/setup --tests makes)
"""
import sys
import unittest
from pathlib import Path

here = Path(__file__).resolve().parent
sys.path.insert(0, str(here))
result = unittest.TextTestRunner(verbosity=2).run(unittest.defaultTestLoader.discover(str(here), "test_*.py"))
failed = len(result.failures) + len(result.errors) + len(result.unexpectedSuccesses)
print(f"{result.testsRun - failed - len(result.skipped)} passed, {failed} failed, {len(result.skipped)} skipped")
sys.exit(1 if failed else 0)
