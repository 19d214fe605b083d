"""The tests in worker_tests.py, in a process of their own.

They fork, and collect garbage at chosen moments. After the export tests in the same process, the signal of a child that
ends (SIGCHLD) cannot be delivered any more, and the process ends with SIGSEGV. Which library causes this is not known.
"""

import subprocess
import sys
from pathlib import Path


def test_workers_and_forked_processes():
    file = Path(__file__).with_name("worker_tests.py")
    done = subprocess.run([sys.executable, "-m", "pytest", "-q", str(file)], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "passed" in done.stdout
