"""Python code in a process of its own, whose imports of torch are done: a second and a half less each."""

import multiprocessing
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from functools import cache
from pathlib import Path

PRELOADED = ["numpy", "torch", "safetensors.torch", "PIL.Image", "pytest"]
"""Which read none of the variables that tests set; huggingface_hub does, when it is imported."""


@cache
def _context() -> multiprocessing.context.BaseContext:
    if "forkserver" not in multiprocessing.get_all_start_methods():  # Windows
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOADED)
    return context


def run_code(code: str, env: Mapping[str, str], cwd=None, timeout: float = 120) -> subprocess.CompletedProcess:
    """What ``subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, ...)`` gives.

    Raises:
        subprocess.TimeoutExpired: it took longer than ``timeout`` seconds, and was killed.
    """
    with tempfile.TemporaryDirectory() as folder:
        out, err = Path(folder) / "out", Path(folder) / "err"
        process = _context().Process(target=_run, args=(code, dict(env), str(cwd or Path.cwd()), str(out), str(err)))
        process.start()
        process.join(timeout)
        if late := process.is_alive():
            process.kill()
            process.join()
        said = [file.read_text(encoding="utf-8") if file.exists() else "" for file in (out, err)]
        if late:
            raise subprocess.TimeoutExpired(code, timeout, *said)
        done = subprocess.CompletedProcess(code, process.exitcode, *said)
        process.close()
        return done


def _run(code: str, env: dict[str, str], cwd: str, out: str, err: str) -> None:
    os.environ.clear()
    os.environ.update(env)
    os.chdir(cwd)
    sys.path.insert(0, "")
    for stream, file in ((1, out), (2, err)):
        opened = os.open(file, os.O_WRONLY | os.O_CREAT)
        os.dup2(opened, stream)
        os.close(opened)
    exec(compile(code, "<string>", "exec"), {"__name__": "__main__", "__builtins__": __builtins__})
