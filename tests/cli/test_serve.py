from __future__ import annotations

import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

import pytest


@pytest.mark.parametrize("package", ["starlette", "uvicorn"])
def test_without_its_extra_serve_says_what_to_install(package: str, tmp_path: Path) -> None:
    code = f"import sys; sys.modules[{package!r}] = None; sys.argv = ['assay', 'serve']"
    code += "; from assay.cli import main; main()"
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert f"assay serve needs {package}, which is not installed: pip install '.[serve]'" in done.stderr
    assert "Traceback" not in done.stderr


def test_serve_prints_an_address_with_a_token_and_goes_on_without_a_store(tmp_path: Path) -> None:
    words = [sys.executable, "-m", "assay", "serve", "--port", "0", "--store", str(tmp_path / "none.db")]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        try:
            address = process.stdout.readline().strip()
            assert address.startswith("http://127.0.0.1:")
            assert "none.db: no such store" in process.stderr.readline() + process.stderr.readline()
            with pytest.raises(urllib.error.HTTPError) as refused:
                urllib.request.urlopen(address.partition("?")[0], timeout=20)
            assert refused.value.code == 401
            refused.value.close()
            opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor())
            with pytest.raises(urllib.error.HTTPError) as missing:
                opener.open(address, timeout=20)
            assert missing.value.code == 503
            assert "no such store" in missing.value.read().decode()
            missing.value.close()
        finally:
            process.terminate()
        assert process.wait(20) in (0, -15)


def test_a_host_that_is_none_of_this_machine_is_a_sentence(tmp_path: Path) -> None:
    words = [sys.executable, "-m", "assay", "serve", "--host", "192.0.2.1", "--port", "8422"]
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 2
    assert "192.0.2.1, port 8422: cannot be listened on" in done.stderr
