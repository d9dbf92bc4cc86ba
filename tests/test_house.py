"""What a machine can check of the house rules, of the errors, of the demo's people, and of the package."""

import ast
import base64
import collections
import csv
import hashlib
import io
import itertools
import json
import os
import re
import string
import subprocess
import sys
import sysconfig
import tomllib
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from bot import errors
from bot.cli.demo import PEOPLE
from tests.factories import Shape, make_base

ROOT = Path(__file__).parents[1]
SOURCES = sorted(path for name in ("bench", "bot", "models", "training") for path in (ROOT / name).rglob("*.py"))
ENVIRON = {"PATH": os.environ["PATH"], "HOME": os.environ.get("HOME", "/"), "OMP_WAIT_POLICY": "passive"}


# --- Imports and settings ---------------------------------------------------------------------------------------------


def test_everybody_imports_only_whom_they_may() -> None:
    command = [Path(sys.executable).with_name("lint-imports"), "--no-cache"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout
    assert ", 0 broken" in done.stdout


def test_every_setting_is_read_somewhere() -> None:
    shipped = tomllib.loads((ROOT / "config.toml").read_text("utf-8"))
    code = "\n".join(
        path.read_text("utf-8")
        for path in SOURCES
        if path != ROOT / "bot" / "config.py" and path.parent.name != "bench"
    )
    settings = [(section, key) for section, values in shipped.items() for key in values]
    assert len(settings) > 20
    assert [setting for setting in settings if not re.search(rf"\.{setting[1]}\b", code)] == []


def test_every_file_says_first_what_it_is() -> None:
    assert [path for path in SOURCES if not ast.get_docstring(ast.parse(path.read_text("utf-8")))] == []


# --- Errors -----------------------------------------------------------------------------------------------------------

KINDS = {
    name: kind
    for name, kind in vars(errors).items()
    if isinstance(kind, type) and issubclass(kind, errors.MockingbirdError) and kind is not errors.MockingbirdError
}


def raised() -> Iterator[tuple[str, str, set[str | None]]]:
    """(place, kind of error, names of its facts) wherever one of ours is made."""
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            name = getattr(node.func, "id", getattr(node.func, "attr", "")) if isinstance(node, ast.Call) else ""
            if isinstance(node, ast.Call) and name in KINDS:
                assert node.args == [], f"{path}:{node.lineno} gives facts without names"
                yield f"{path.relative_to(ROOT)}:{node.lineno}", name, {word.arg for word in node.keywords}


def test_every_error_is_raised_with_the_facts_of_its_sentence() -> None:
    wanted = {
        name: {field.partition("!")[0] for _, field, _, _ in string.Formatter().parse(kind.__doc__ or "") if field}
        for name, kind in KINDS.items()
    }
    wrong = [(place, name, facts ^ wanted[name]) for place, name, facts in raised() if facts != wanted[name]]
    assert wrong == []


def test_every_error_is_raised_somewhere() -> None:
    assert set(KINDS) - {name for _, name, _ in raised()} == set()


@pytest.mark.parametrize("name", KINDS)
def test_the_docstring_of_an_error_is_a_sentence(name: str) -> None:
    sentence = " ".join((KINDS[name].__doc__ or "").split())
    assert sentence == "{reason}" or sentence.endswith(".")


# --- The demo's people ------------------------------------------------------------------------------------------------


def tweets(handle: str) -> list[str]:
    lines = (ROOT / "bot" / "demo" / f"{handle}.jsonl").read_text("utf-8").splitlines()
    rows = sorted(map(json.loads, lines), key=lambda row: row["created_at"])
    assert {row["author_handle"] for row in rows} == {handle}
    return [row["text"] for row in rows]


@pytest.mark.parametrize("handle", PEOPLE)
def test_a_person_of_the_demo_wrote_enough_and_does_not_repeat_themselves(handle: str) -> None:
    texts = tweets(handle)
    assert len(set(texts)) == len(texts) >= 300
    runs: collections.Counter[tuple[str, ...]] = collections.Counter()
    for text in texts:
        words = re.findall(r"[\w']+", text.lower())
        runs.update({tuple(words[start : start + 5]) for start in range(len(words) - 4)})
    assert {run: count for run, count in runs.items() if count > len(texts) / 100} == {}


def test_the_people_of_the_demo_can_be_told_apart() -> None:
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline

    older, newer = [], []
    for handle in PEOPLE:
        texts = tweets(handle)
        cut = len(texts) * 4 // 5
        older += [(text, handle) for text in texts[:cut]]
        newer += [(text, handle) for text in texts[cut:]]
    classifier = make_pipeline(
        TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 4), sublinear_tf=True), LogisticRegression(max_iter=1000)
    )
    classifier.fit(*zip(*older, strict=True))
    assert classifier.score(*zip(*newer, strict=True)) > 0.9


# --- The package ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder), str(ROOT)]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    (built,) = folder.glob("*.whl")
    return built


def test_the_wheel_holds_all_that_the_sources_hold(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as packed:
        names = packed.namelist()
        (record,) = (name for name in names if name.endswith("/RECORD"))
        sums = {name: sum for name, sum, _ in csv.reader(io.StringIO(packed.read(record).decode()))}
    kept = [
        path for package in ("bot", "models", "training") for path in (ROOT / package).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    ]  # fmt: skip
    wanted = {str(path.relative_to(ROOT)): path for path in kept}
    assert {name for name in names if ".dist-info/" not in name} == set(wanted)
    for needed in ("models/base/fledgling/model.safetensors", "bot/blocklist.txt", f"bot/demo/{PEOPLE[0]}.jsonl"):
        digest = base64.urlsafe_b64encode(hashlib.sha256(wanted[needed].read_bytes()).digest()).rstrip(b"=").decode()
        assert sums[needed] == f"sha256={digest}"


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A virtual environment that holds the wheel and borrows what it depends on; its python."""
    folder = tmp_path_factory.mktemp("venv")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True, timeout=120)
    site = Path(sysconfig.get_path("purelib", "venv", {"base": str(folder), "platbase": str(folder)}))
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--target", str(site)]
    subprocess.run([*pip, str(wheel)], check=True, timeout=120)
    # A folder named in a .pth file is searched, but .pth files in it are not read: our own checkout stays unseen.
    (site / "borrowed.pth").write_text(f"{sysconfig.get_path('purelib')}\n{sysconfig.get_path('platlib')}\n")
    return folder / "bin" / "python"


def test_the_installed_package_shows_its_demo_from_any_folder(
    installed: Path, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    where = subprocess.run(
        [installed, "-c", "import bot, models.wire as wire; print(bot.__file__, wire.__file__)"],
        cwd=tmp_path, env=ENVIRON, capture_output=True, text=True, timeout=60, check=True,
    ).stdout  # fmt: skip
    assert str(ROOT) not in where
    base = make_base(tmp_path_factory.mktemp("bases"), Shape(n_layer=1, n_embd=16, n_head=1, n_positions=128))
    quick = {
        "MOCKINGBIRD__MODEL__BASE": str(base),
        "MOCKINGBIRD__SAMPLING__MAX_TOKENS": "40",
        "MOCKINGBIRD__TRAINING__THREADS": "1",
        "MOCKINGBIRD__TRAINING__RECIPE": "quick",
    }
    done = subprocess.run(
        [installed, "-m", "bot", "demo", "--once", "--json"],
        cwd=tmp_path, env=ENVIRON | quick, capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    shown = json.loads(done.stdout)
    everybody = [*(handle.lower() for handle in PEOPLE), "breadwizard_ok-lighthousejo"]
    assert set(shown) == {"seconds", "train_seconds", "personas", "candidates", "posts"}
    assert shown["personas"] == everybody
    assert {post["author"] for post in shown["posts"]} == set(everybody)
    assert {found["persona"] for found in shown["candidates"]} == {everybody[0], everybody[-1]}
    assert [set(found) for found in shown["candidates"]] == [{"persona", "text", "seed", "verdict"}] * 10
    assert 0 < shown["train_seconds"] < shown["seconds"]
    assert list(tmp_path.iterdir()) == []


def test_the_installed_package_trains_and_speaks_with_the_bundled_base(installed: Path, tmp_path: Path) -> None:
    handle = PEOPLE[0]
    some = tmp_path / "some.jsonl"
    lines = (ROOT / "bot" / "demo" / f"{handle}.jsonl").read_text("utf-8").splitlines(keepends=True)
    some.write_text("".join(itertools.islice(lines, 60)), "utf-8")

    def mockingbird(*arguments: str | Path) -> dict[str, object]:
        command = [installed, "-m", "bot", "--data", tmp_path / "data", "--json", *arguments]
        environ = ENVIRON | {"MOCKINGBIRD__TRAINING__MIN_CHARACTERS": "1000"}
        done = subprocess.run(command, cwd=tmp_path, env=environ, capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, done.stderr
        said: dict[str, object] = json.loads(done.stdout)
        return said

    mockingbird("import", some)
    assert mockingbird("train", handle, "--recipe", "quick", "--seed", "7")["promoted"]
    candidates = mockingbird("imitate", handle, "-n", "2", "--seed", "7")["candidates"]
    assert isinstance(candidates, list)
    assert [found["verdict"] for found in candidates] == ["accepted"] * 2
