"""A base is found by the name that the configuration gives it, and what is missing is told with the way out."""

import json
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from bot.errors import BaseUnavailable
from bot.hub import find_base

WAY_OUT = '`[model]` and `base = "fledgling"`'
COMMIT = "0123456789abcdef0123456789abcdef01234567"


def test_the_bundled_base_is_found_from_any_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert (find_base("fledgling") / "model.safetensors").stat().st_size > 1_000_000


def test_a_folder_is_taken_as_it_is_and_becomes_absolute(
    tiny_base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tiny_base.parent)
    assert find_base(tiny_base.name) == find_base(str(tiny_base)) == tiny_base.resolve()


@pytest.mark.parametrize("missing", ["config.json", "model.safetensors", "tokenizer.json"])
def test_a_folder_that_is_no_base_is_refused(tiny_base: Path, tmp_path: Path, missing: str) -> None:
    folder = Path(shutil.copytree(tiny_base, tmp_path / "base"))
    (folder / missing).unlink()
    with pytest.raises(BaseUnavailable) as caught:
        find_base(str(folder))
    assert f"has no {missing}" in str(caught.value)
    assert WAY_OUT in str(caught.value)


def test_the_older_pair_of_tokenizer_files_is_enough(tiny_base: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(tiny_base, tmp_path / "base"))
    (folder / "tokenizer.json").unlink()
    (folder / "vocab.json").touch()
    with pytest.raises(BaseUnavailable):
        find_base(str(folder))
    (folder / "merges.txt").touch()
    assert find_base(str(folder)) == folder


@pytest.mark.parametrize("name", ["./nowhere", "/nowhere/at/all", "~/nowhere"])
def test_a_folder_that_is_not_there_is_not_looked_for_on_the_hub(name: str) -> None:
    with pytest.raises(BaseUnavailable, match="there is no such folder"):
        find_base(name)


def found(name: str, cache: Path, token: str = "", **hub: str) -> str:
    """What is said of a Hub id, by a fresh interpreter, since the Hub's library reads its settings when imported."""
    code = (
        "import sys; from bot.hub import find_base; from bot.errors import BaseUnavailable\n"
        "try: print(find_base(sys.argv[1], sys.argv[2] or None))\n"
        "except BaseUnavailable as error: print(error)"
    )
    environ = {"HF_HUB_CACHE": str(cache), "HOME": str(cache), "PATH": "/usr/bin:/bin", **hub}
    done = subprocess.run(
        [sys.executable, "-c", code, name, token], env=environ, capture_output=True, text=True, timeout=60, check=True
    )
    return done.stdout.strip()


def cached(cache: Path, base: Path, *without: str) -> Path:
    """A snapshot as the Hub's library keeps it."""
    folder = cache / "models--someone--small" / "snapshots" / COMMIT
    shutil.copytree(base, folder)
    for name in without:
        (folder / name).unlink()
    refs = cache / "models--someone--small" / "refs"
    refs.mkdir()
    (refs / "main").write_text(COMMIT)
    return folder


def test_a_name_on_the_hub_is_taken_from_the_cache(tiny_base: Path, tmp_path: Path) -> None:
    assert "it is not in the local cache, and downloads are off" in found("someone/small", tmp_path, HF_HUB_OFFLINE="1")
    folder = cached(tmp_path, tiny_base)
    assert found("someone/small", tmp_path, HF_HUB_OFFLINE="1") == str(folder)


def test_a_part_in_the_cache_is_told_without_a_network(tiny_base: Path, tmp_path: Path) -> None:
    cached(tmp_path, tiny_base, "model.safetensors")
    said = found("someone/small", tmp_path, HF_HUB_OFFLINE="1")
    assert said.startswith("The base model 'someone/small' is not available (")
    assert "has no model.safetensors" in said
    assert WAY_OUT in said


class Hub(ThreadingHTTPServer):
    """As much of the Hub as a download needs: one model, at one commit."""

    daemon_threads = True

    def __init__(self, folder: Path) -> None:
        super().__init__(("127.0.0.1", 0), Answers)
        self.folder = folder
        self.authorisations: set[str | None] = set()
        self.got: list[str] = []


class Answers(BaseHTTPRequestHandler):
    server: Hub

    def do_HEAD(self) -> None:
        self.server.authorisations.add(self.headers["Authorization"])
        name = self.path.rpartition("/")[2]
        if self.path.startswith("/api/models/someone/small/revision/"):
            self.answer(json.dumps({"id": "someone/small", "sha": COMMIT}).encode())
        elif self.path.startswith(f"/api/models/someone/small/tree/{COMMIT}"):
            self.answer(json.dumps([listed(path) for path in sorted(self.server.folder.iterdir())]).encode())
        elif self.path.startswith("/someone/small/resolve/") and (self.server.folder / name).is_file():
            self.answer((self.server.folder / name).read_bytes(), ETag=f'"{name}"', **{"X-Repo-Commit": COMMIT})
        else:
            self.answer(b"", status=404, **{"X-Error-Code": "RepoNotFound"})

    do_GET = do_HEAD

    def answer(self, body: bytes, status: int = 200, **headers: str) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "GET":
            self.server.got.append(self.path.rpartition("/")[2])
            self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


def listed(path: Path) -> dict[str, object]:
    return {"type": "file", "path": path.name, "size": path.stat().st_size, "oid": path.name}


@pytest.fixture
def hub(tiny_base: Path, tmp_path: Path) -> Iterator[Hub]:
    folder = Path(shutil.copytree(tiny_base, tmp_path / "hub"))
    (folder / "pytorch_model.bin").write_bytes(b"a pickle, which is never wanted")
    with Hub(folder) as server:
        thread = threading.Thread(target=server.serve_forever, args=[0.05])
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def test_what_the_cache_lacks_is_downloaded_with_the_token_and_then_never_again(
    hub: Hub, tiny_base: Path, tmp_path: Path
) -> None:
    folder = cached(tmp_path / "cache", tiny_base, "model.safetensors")
    there = f"http://127.0.0.1:{hub.server_port}"
    assert found("someone/small", tmp_path / "cache", "canary", HF_ENDPOINT=there) == str(folder)
    assert (folder / "model.safetensors").read_bytes() == (tiny_base / "model.safetensors").read_bytes()
    assert "Bearer canary" in hub.authorisations
    assert "model.safetensors" in hub.got
    assert "pytorch_model.bin" not in hub.got
    hub.got.clear()
    assert found("someone/small", tmp_path / "cache", "canary", HF_ENDPOINT=there) == str(folder)
    assert hub.got == []


def test_a_model_that_the_hub_does_not_have_is_told(hub: Hub, tmp_path: Path) -> None:
    there = f"http://127.0.0.1:{hub.server_port}"
    said = found("someone/else", tmp_path / "cache", HF_ENDPOINT=there)
    assert "'someone/else' is not available (it is not in the local cache, and the Hub said RepositoryNotFound" in said


def test_what_is_no_name_at_all_is_told(tmp_path: Path) -> None:
    assert "that is no folder and no name on the Hub" in found("not a name/at all", tmp_path, HF_HUB_OFFLINE="1")
