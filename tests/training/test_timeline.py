"""Tests of the readers: every form of timeline, what is refused and how it is said, and how much memory it takes."""

import codecs
import csv
import gzip
import io
import json
import os
import stat
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from training.timeline import (
    BadHandle,
    Counts,
    NeedsHandle,
    Tweet,
    UnreadableFile,
    check_handle,
    count,
    members,
    notes,
    objects,
    read_tweets,
    stream,
    window,
)

ROOT = Path(__file__).resolve().parents[2]
TEXT = "The kettle has opinions about the moon tonight"
NOON = 1539202764000  # Wed Oct 10 20:19:24 +0000 2018
X_NOON = "Wed Oct 10 20:19:24 +0000 2018"
ISO_NOON = "2018-10-10T20:19:24.000Z"


def archived(number: int = 1, text: str = TEXT, **more: object) -> dict[str, object]:
    return {"tweet": {"id_str": str(number), "full_text": text, "created_at": X_NOON, "retweeted": False, **more}}


def note(text: str, created_at: str = ISO_NOON) -> dict[str, object]:
    return {"noteTweet": {"noteTweetId": "9", "createdAt": created_at, "core": {"text": text, "urls": []}}}


def ytd(kind: str, records: Iterable[object], part: int = 0) -> str:
    return f"window.YTD.{kind}.part{part} = " + json.dumps(list(records), indent=2)


def account(username: str = "TeapotFan") -> str:
    return ytd(
        "account", [{"account": {"username": username, "accountDisplayName": "Teapot ☕", "email": "a@b.example"}}]
    )


def zipped(path: Path, files: dict[str, str], compression: int = zipfile.ZIP_STORED) -> Path:
    with zipfile.ZipFile(path, "w", compression) as packed:
        for name, content in files.items():
            packed.writestr(name, content)
    return path


def archive(path: Path, *records: object, username: str = "TeapotFan", **files: str) -> Path:
    names = {f"data/{name.replace('__', '-')}.js": content for name, content in files.items()}
    return zipped(path, {"data/account.js": account(username), "data/tweets.js": ytd("tweets", records), **names})


def jsonl(path: Path, *records: object) -> Path:
    path.write_text("".join(json.dumps(record) + "\n" for record in records), encoding="utf-8")
    return path


def lone(number: int = 1, text: str = TEXT, **more: object) -> dict[str, object]:
    return {"id": str(number), "text": text, "created_at": ISO_NOON, "author_handle": "TeapotFan", **more}


def texts(path: Path, handle: str | None = None) -> list[str]:
    return [tweet.text for tweet in read_tweets(path, handle)]


# --- X archives -------------------------------------------------------------------------------------------------------


def test_an_archive_tells_its_author_and_every_tweet(tmp_path: Path) -> None:
    path = archive(tmp_path / "x.zip", archived(1, lang="en", in_reply_to_status_id_str="7"), archived(2, "RT @a: b"))
    assert list(read_tweets(path)) == [
        Tweet("1", TEXT, NOON, "TeapotFan", "Teapot ☕", is_retweet=False, reply_to="7", lang="en"),
        Tweet("2", "RT @a: b", NOON, "TeapotFan", "Teapot ☕", is_retweet=True),
    ]


def test_parts_are_read_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    parts = {f"tweets__part{n}": ytd("tweets", [archived(n, f"part {n}")], n) for n in (10, 2, 1)}
    path = archive(tmp_path / "x.zip", archived(0, "part 0"), **parts)
    assert texts(path) == ["part 0", "part 1", "part 2", "part 10"]


def test_nothing_else_in_an_archive_is_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = archive(tmp_path / "x.zip", archived(), direct__messages="secret", deleted__tweets="secret", like="secret")
    opened: list[str] = []
    original = zipfile.ZipFile.open

    def watched(self: zipfile.ZipFile, name: zipfile.ZipInfo, *rest: object) -> object:
        opened.append(name.filename)
        return original(self, name, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(zipfile.ZipFile, "open", watched)
    assert texts(path) == [TEXT]
    assert opened == ["data/account.js", "data/tweets.js"]


def test_an_unpacked_archive_and_its_data_folder_alone_read_the_same(tmp_path: Path) -> None:
    data = tmp_path / "unpacked" / "data"
    data.mkdir(parents=True)
    (data / "account.js").write_text(account(), encoding="utf-8")
    (data / "tweets.js").write_text(ytd("tweets", [archived()]), encoding="utf-8")
    assert texts(data.parent) == texts(data) == [TEXT]


def test_an_old_archive_and_one_that_was_zipped_again_are_read(tmp_path: Path) -> None:
    files = {"data/account.js": account(), "data/tweet.js": ytd("tweet", [archived()["tweet"]])}
    assert texts(zipped(tmp_path / "old.zip", files)) == [TEXT]
    again = {f"twitter-2020/{name}": content for name, content in files.items()} | {"__MACOSX/data/tweets.js": "junk"}
    assert texts(zipped(tmp_path / "again.zip", again)) == [TEXT]


def test_long_posts_get_their_full_text_and_only_theirs(tmp_path: Path) -> None:
    beginning = "I have been asked many times why the kettle & I no longer speak, and here is the whole story of it"
    full = f"{beginning}: it began in spring. " * 5
    other = "A second long post that was made in the very same second, about the garden gate and who broke it. " * 4
    path = archive(
        tmp_path / "x.zip",
        archived(1, f"@friend {beginning.replace('&', '&amp;')}… https://t.co/abc"),
        archived(2, f"{other[:275]}… https://t.co/abd"),
        archived(3, "a short one of the same second"),
        archived(4, f"{beginning}…", created_at="Thu Oct 11 20:19:24 +0000 2018"),
        archived(5, f"RT @friend: {beginning}…"),
        note__tweet=ytd("note_tweet", [note(full), note(other)]),
    )
    assert texts(path) == [full, other, "a short one of the same second", full, f"RT @friend: {beginning}…"]


def test_a_lone_tweets_js_needs_a_handle(tmp_path: Path) -> None:
    path = tmp_path / "tweets.js"
    path.write_text(ytd("tweets", [archived()]) + ";\n", encoding="utf-8-sig")
    assert [tweet.handle for tweet in read_tweets(path, "@TeapotFan")] == ["TeapotFan"]
    with pytest.raises(NeedsHandle, match="--handle"):
        list(read_tweets(path))


@pytest.mark.parametrize("kind", ["note_tweet", "note_tweets"])
def test_the_long_posts_of_a_lone_note_tweet_js_are_tweets(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "note-tweet.js"
    path.write_text(ytd(kind, [note("long " * 99)]), encoding="utf-8")
    assert list(read_tweets(path, "TeapotFan")) == [Tweet("9", "long " * 99, NOON, "TeapotFan")]
    with pytest.raises(NeedsHandle, match="--handle"):
        list(read_tweets(path))


def test_an_archive_of_somebody_else_is_refused(tmp_path: Path) -> None:
    path = archive(tmp_path / "x.zip", archived())
    assert texts(path, "teapotfan") == [TEXT]
    with pytest.raises(UnreadableFile, match=r"archive of @TeapotFan, not of @someone; give --handle TeapotFan"):
        list(read_tweets(path, "someone"))


def test_an_archive_without_an_account_needs_a_handle(tmp_path: Path) -> None:
    path = zipped(tmp_path / "x.zip", {"data/tweets.js": ytd("tweets", [archived()])})
    assert texts(path, "TeapotFan") == [TEXT]
    with pytest.raises(NeedsHandle, match="--handle"):
        list(read_tweets(path))


def test_only_an_archive_whose_account_names_its_author_is_signed(tmp_path: Path) -> None:
    lone_file = tmp_path / "anything.txt"  # it says by itself what it is
    lone_file.write_text(ytd("tweets", [archived()]), encoding="utf-8")
    unsigned = zipped(tmp_path / "2.zip", {"data/tweets.js": ytd("tweets", [archived()])})
    row = jsonl(tmp_path / "1.jsonl", lone(signed=True))
    for path, signed in ((archive(tmp_path / "1.zip", archived()), True), (unsigned, False), (lone_file, False)):
        assert [(tweet.handle, tweet.signed) for tweet in read_tweets(path, "TeapotFan")] == [("TeapotFan", signed)]
    assert [tweet.signed for tweet in read_tweets(row)] == [False]


@pytest.mark.parametrize("folder", ["", "Downloads/", "data/"])
def test_a_tweets_js_is_found_in_a_zip_of_its_own(tmp_path: Path, folder: str) -> None:
    files = {f"{folder}tweets.js": ytd("tweets", [archived()]), "__MACOSX/tweets.js": "junk"}
    alone = zipped(tmp_path / "1.zip", files)
    assert texts(alone, "TeapotFan") == [TEXT]
    with pytest.raises(NeedsHandle, match="--handle"):
        list(read_tweets(alone))
    beside = zipped(tmp_path / "2.zip", {**files, f"{folder}account.js": account()})
    assert [(tweet.handle, tweet.signed) for tweet in read_tweets(beside)] == [("TeapotFan", True)]


# --- jsonl and csv ----------------------------------------------------------------------------------------------------


def test_lines_of_api_v2_are_read_plain_or_packed(tmp_path: Path) -> None:
    records = [
        lone(1, lang="en", referenced_tweets=[{"type": "quoted", "id": "4"}, {"type": "replied_to", "id": "5"}]),
        lone(2, "cut…", note_tweet={"text": "the whole of it"}),
        lone(3, "no prefix", referenced_tweets=[{"type": "retweeted", "id": "6"}]),
        {"id": 4, "text": "separator \u2028 inside", "author": {"username": "teapotfan", "name": "Teapot"}},
    ]
    plain = jsonl(tmp_path / "a.jsonl", *records)
    plain.write_text("\ufeff" + plain.read_text("utf-8").replace("\\u2028", "\u2028") + "\n\n", encoding="utf-8")
    packed = tmp_path / "a.jsonl.gz"
    packed.write_bytes(gzip.compress(plain.read_bytes(), mtime=0))
    expected = [
        Tweet("1", TEXT, NOON, "TeapotFan", reply_to="5", lang="en"),
        Tweet("2", "the whole of it", NOON, "TeapotFan"),
        Tweet("3", "no prefix", NOON, "TeapotFan", is_retweet=True),
        Tweet("4", "separator \u2028 inside", None, "teapotfan", "Teapot"),
    ]
    assert list(read_tweets(plain)) == list(read_tweets(packed)) == expected


def test_a_json_list_is_read_too(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text(json.dumps([lone(1), lone(2)], indent=1), encoding="utf-8")
    assert texts(path) == [TEXT, TEXT]


def test_only_the_wanted_author_is_taken(tmp_path: Path) -> None:
    records = [lone(1), lone(2, "not mine", author_handle="Gate"), lone(3, author_handle="teapotFAN")]
    path = jsonl(tmp_path / "a.jsonl", *records)
    assert [tweet.handle for tweet in read_tweets(path, "TEAPOTFAN")] == ["TeapotFan", "teapotFAN"]
    with pytest.raises(NeedsHandle, match=r"several people \(@TeapotFan, @Gate\); choose one with --handle"):
        list(read_tweets(path))
    with pytest.raises(UnreadableFile, match=r"no tweets of @nobody, only of @TeapotFan, @Gate; check --handle"):
        list(read_tweets(path, "nobody"))


def test_a_file_that_names_nobody_needs_a_handle(tmp_path: Path) -> None:
    path = jsonl(tmp_path / "a.jsonl", {"id": "1", "text": TEXT})
    assert [tweet.handle for tweet in read_tweets(path, "TeapotFan")] == ["TeapotFan"]
    with pytest.raises(NeedsHandle, match="--handle"):
        list(read_tweets(path))


def test_a_lone_surrogate_becomes_a_character_that_can_be_stored(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text('{"id": "1", "text": "odd \\ud83d end", "author": "TeapotFan"}', encoding="utf-8")
    assert texts(path) == ["odd \ufffd end"]


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_csv_is_read_with_quotes_line_breaks_and_any_delimiter(tmp_path: Path, delimiter: str) -> None:
    path = tmp_path / "a.csv"
    with path.open("w", encoding="utf-8-sig", newline="") as file:
        writer = csv.writer(file, delimiter=delimiter)
        writer.writerow(["Tweet_ID", "Timestamp", "Text", "Username", "retweeted_status_id"])
        writer.writerow(["1", "2018-10-10 20:19:24 +0000", 'said "a, b; c\td"\nand left', "@TeapotFan", ""])
        writer.writerow(["2", "1539202764", "somebody else's words", "TeapotFan", "77"])
    assert list(read_tweets(path)) == [
        Tweet("1", 'said "a, b; c\td"\nand left', NOON, "TeapotFan"),
        Tweet("2", "somebody else's words", NOON, "TeapotFan", is_retweet=True),
    ]


def test_tweets_without_a_usable_id_get_the_same_one_at_every_import(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text(
        "id,text,date\n1.05E+18,one,2018-10-10\n1.05E+18,two,2018-10-10\n,two,2018-10-11\n", encoding="utf-8"
    )
    first, second = ([tweet.id for tweet in read_tweets(path, "TeapotFan")] for _ in range(2))
    assert first == second
    assert len(set(first)) == 3


@pytest.mark.parametrize(
    ("date", "expected"),
    [
        (X_NOON, NOON),
        ("Wed Oct 10 22:19:24 +0200 2018", NOON),
        ("2018-10-10T20:19:24.123Z", NOON + 123),
        ("2018-10-10 20:19:24", NOON),
        ("2018-10-10 20:19:24 UTC", NOON),
        ("2018-10-10T20:19:24+00:00", NOON),
        ("1539202764", NOON),
        ("1539202764000", NOON),
        ("2018-10-10", 1539129600000),
        ("Wed Foo 10 20:19:24 +0000 2018", None),
        ("0001-01-01T00:00:00+14:00", -62135647200000),
        ("last week", None),
        ("", None),
    ],
)
def test_dates_of_every_export_become_utc_milliseconds(tmp_path: Path, date: str, expected: int | None) -> None:
    path = jsonl(tmp_path / "a.jsonl", lone(created_at=date))
    assert [tweet.created_at for tweet in read_tweets(path)] == [expected]


# --- Handles and counts -----------------------------------------------------------------------------------------------


def test_a_handle_loses_its_blanks_and_one_at_sign() -> None:
    assert check_handle("  @Teapot_Fan1 ") == "Teapot_Fan1"


@pytest.mark.parametrize("raw", ["", "@", "@@a", "a b", "a" * 16, "téa", "a-b", "a\n b", "٣"])
def test_what_cannot_be_a_handle_is_refused(raw: str) -> None:
    with pytest.raises(BadHandle, match="1 to 15 letters, digits or underscores"):
        check_handle(raw)


def test_downloaded_is_retweets_and_short_and_kept_and_duplicates_count_once() -> None:
    def tweet(number: int, text: str, is_retweet: bool = False) -> Tweet:
        return Tweet(str(number), text, None, "TeapotFan", is_retweet=is_retweet)

    tweets = [
        tweet(1, TEXT),
        tweet(1, TEXT),
        tweet(2, "RT @a: one two three", True),
        tweet(3, "@a two words"),
        tweet(4, ""),
    ]
    assert count(tweets) == Counts(downloaded=4, retweets=1, short=2, kept=1)


# --- What is refused, and how it is said ------------------------------------------------------------------------------


def encrypted(path: Path) -> None:
    archive(path, archived())
    content = path.read_bytes()
    local, central = content.index(b"PK\x03\x04"), content.index(b"PK\x01\x02")
    flags = bytearray(content)
    flags[local + 6] |= 1
    flags[central + 8] |= 1
    path.write_bytes(flags)


def linked(path: Path) -> None:
    archive(path, archived())
    link = zipfile.ZipInfo("data/like.js")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(path, "a") as packed:
        packed.writestr(link, "/etc/passwd")


def with_member(name: str) -> Callable[[Path], object]:
    return lambda path: zipped(path, {"data/tweets.js": ytd("tweets", [archived()]), name: "x"})


def content(text: str | bytes) -> Callable[[Path], object]:
    return lambda path: path.write_bytes(text.encode() if isinstance(text, str) else text)


def cut(make: Callable[[Path], object], keep: float) -> Callable[[Path], None]:
    def made_and_cut(path: Path) -> None:
        make(path)
        whole = path.read_bytes()
        path.write_bytes(whole[: int(len(whole) * keep)])

    return made_and_cut


def whole_archive(path: Path) -> None:
    archive(path, *(archived(n, os.urandom(50).hex()) for n in range(50)))


GOOD_JS = ytd("tweets", [archived(n) for n in range(9)])
BAD_FILES: dict[str, tuple[str, Callable[[Path], object], str]] = {
    "missing": ("a.jsonl", lambda path: None, r"cannot be opened \(No such file.*\); check the path"),
    "empty jsonl": ("a.jsonl", content(""), "is empty; copy or download it again"),
    "blank csv": ("a.csv", content(" \n\n"), "is empty; copy or download it again"),
    "empty gzip": ("a.jsonl.gz", content(gzip.compress(b"", mtime=0)), "is empty; copy or download it again"),
    "no tweets": ("tweets.js", content(ytd("tweets", [])), "holds no tweets; give an X archive"),
    "header only": ("a.csv", content("id,text\n"), "holds no tweets; give"),
    "cut gzip": (
        "a.jsonl.gz",
        content(gzip.compress(json.dumps(lone(text=os.urandom(9000).hex())).encode())[:4000]),
        "cut off or damaged .*; copy or download it again",
    ),
    "cut zip": ("a.zip", cut(whole_archive, 0.6), "is cut off: .*; copy or download it again"),
    "cut js": ("tweets.js", content(GOOD_JS[:-30]), "cut off in the middle; copy or download it again"),
    "cut js between tweets": ("tweets.js", content(GOOD_JS[:-2]), "cut off in the middle; copy or download"),
    "cut jsonl": (
        "a.jsonl",
        content(json.dumps(lone())[:-9]),
        r"line 1 is not a whole JSON object; .*download it again",
    ),
    "broken js": ("tweets.js", content(GOOD_JS.replace('"id_str":', "id_str:", 1)), "not valid JSON; copy or download"),
    "more after the list": ("tweets.js", content(GOOD_JS + GOOD_JS), "not valid JSON; copy or download it again"),
    "pretty-printed object": ("a.jsonl", content(json.dumps(lone(), indent=2)), "line 1 is not a whole JSON .*jq -c"),
    "a page of the API": ("a.jsonl", content('{"data": [], "meta": 1}'), r"fields data, meta; it needs .* \(`jq -c"),
    "lines of lists": ("a.jsonl", content("{}\n[]\n"), "line 1 has the fields ; it needs full_text or text"),
    "a list of numbers": ("a.json", content("[1, 2]"), "not valid JSON; copy or download it again"),
    "a line that is a number": ("a.jsonl", content("7\n"), "line 1 is not a JSON object; write each tweet as one"),
    "latin-1": (
        "a.jsonl",
        content(b'{"text": "a"}\n{"text": "caf\xe9"}\n'),
        "line 2 is not UTF-8 text; save the file as",
    ),
    "latin-1 js": (
        "tweets.js",
        content(GOOD_JS.encode() + b"\xe9"),
        "is not UTF-8 text; copy or download it again, or",
    ),
    "utf-16": ("a.csv", content(codecs.BOM_UTF16_LE + "id,text".encode("utf-16-le")), "UTF-16 text; save it as UTF-8"),
    "png": ("a.jsonl", content(b"\x89PNG\r\n\x1a\n\0"), "is a PNG image, whatever its name says; give an X archive"),
    "html": ("a.csv", content("<!DOCTYPE html><p>"), "is a web page or XML, whatever its name says; give an X archive"),
    "unknown suffix": ("a.docx", content("hello"), "is .docx, which is not a timeline; give an X archive"),
    "no suffix": ("notes", content("hello"), "is a file without a suffix, which is not a timeline; give"),
    "likes": ("tweets.js", content(ytd("like", [])), "holds 'like', not 'tweets'; give the data/tweets.js"),
    "notes for tweets": (
        "a.zip",
        lambda path: zipped(path, {"data/account.js": account(), "data/tweets.js": ytd("note_tweet", [note(TEXT)])}),
        "holds 'note_tweet', not 'tweets'; give the data/tweets.js",
    ),
    "a note without a text": (
        "note-tweet.js",
        content(ytd("note_tweet", [{"noteTweet": {"noteTweetId": "9"}}])),
        "tweet 1 has the fields noteTweet; it needs full_text",
    ),
    "another js": ("tweets.js", content("alert(1)"), "does not begin as a file of an X archive .*Download an archive"),
    "other zip": (
        "a.zip",
        lambda path: zipped(path, {"a.txt": "x"}),
        r"no data/tweets.js \(it holds a.txt\).*on X choose",
    ),
    "empty zip": ("a.zip", lambda path: zipped(path, {}), r"no data/tweets.js \(it holds nothing\).*on X choose"),
    "archive of 2015": ("a.zip", lambda path: zipped(path, {"tweets.csv": "x"}), "unpack it and give its tweets.csv"),
    "folder of something else": ("dir", lambda path: path.mkdir(), "no data/tweets.js .*on X choose Settings"),
    "encrypted zip": ("a.zip", encrypted, "is encrypted; unpack it with its password and give the folder"),
    "lzma zip": (
        "a.zip",
        lambda path: zipped(path, {"data/tweets.js": GOOD_JS}, compression=zipfile.ZIP_LZMA),
        "method that is not read here; unpack it and give the folder",
    ),
    "upward name": ("a.zip", with_member("../evil.js"), r"'../evil.js', which points outside .*on X choose"),
    "absolute name": ("a.zip", with_member("/etc/evil"), r"'/etc/evil', which points outside .*on X choose"),
    "windows name": ("a.zip", with_member("data\\..\\..\\evil"), r"points outside .*on X choose"),
    "drive name": ("a.zip", with_member("C:evil"), r"'C:evil', which points outside .*on X choose"),
    "link": ("a.zip", linked, r"'data/like.js', which is a link.*on X choose"),
    "deep lines": ("a.jsonl", content('{"a":' * 99_999), "line 1 is nested too deep to be a tweet; remove it"),
    "deep list": ("tweets.js", content("window.YTD.tweets.part0 = [" + '{"a":' * 99_999), "nested too deep.*again"),
    "endless number": ("a.jsonl", content('{"id": ' + "9" * 5000 + "}\n"), "line 1 is not a whole JSON object"),
    "endless line": ("a.jsonl", content(b'{"text": "' + b"a" * (5 << 20)), "line 1 is over 4 MiB.*export it again"),
    "endless tweet": (
        "tweets.js",
        content('window.YTD.tweets.part0 = [{"a": "' + "a" * (9 << 20)),
        "a record over 4 MiB, no tweet; copy or download it again",
    ),
    "huge cell": (
        "a.csv",
        content("id,text\n1," + "a" * 200_000),
        "line 2 is not CSV .*look for a quote that is never",
    ),
    "endless row": ("a.csv", content("id,text\n" + '"a\n",' * 900_000), "the row never ends; check its quotes"),
    "missing columns": (
        "a.csv",
        content("when,what\n1,2\n"),
        "columns when, what; .*must name full_text or text or tweet",
    ),
    "too many cells": ("a.csv", content("id,text\n1,hello, world\n"), "line 2 has 3 cells under 2 columns; put texts"),
    "display name": (
        "a.csv",
        content("text,author\nhi,Jane Doe\n"),
        "'Jane Doe', which is not a handle; put handles there",
    ),
    "some authors": ("a.csv", content("text,author\nhi,TeapotFan\nho,\n"), "but not all; fill the author in or take"),
}


@pytest.mark.parametrize("case", BAD_FILES)
def test_a_bad_file_is_refused_in_a_sentence_that_says_what_to_do(tmp_path: Path, case: str) -> None:
    name, make, sentence = BAD_FILES[case]
    make(tmp_path / name)
    with pytest.raises(UnreadableFile, match=sentence) as refused:
        list(read_tweets(tmp_path / name, "TeapotFan"))
    said = str(refused.value)
    assert name in said
    assert said.endswith(".")
    assert "\n" not in said
    assert len(said) < 400


def test_a_damaged_zip_is_told_from_a_good_one(tmp_path: Path) -> None:
    path = archive(tmp_path / "a.zip", archived())
    path.write_bytes(path.read_bytes().replace(b"kettle", b"kettlf", 1))
    with pytest.raises(UnreadableFile, match=r"cut off or damaged .*; copy or download it again"):
        list(read_tweets(path))


def test_zip_bombs_are_stopped_by_what_is_read_and_not_by_what_they_say(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream, "RATIO_COUNTS_FROM", 1 << 20)
    blanks = "window.YTD.tweets.part0 = [" + " " * (3 << 20) + "]"
    path = zipped(tmp_path / "a.zip", {"data/tweets.js": blanks}, compression=zipfile.ZIP_DEFLATED)
    packed = tmp_path / "a.jsonl.gz"
    packed.write_bytes(gzip.compress(json.dumps(lone()).encode() + b"\n" * (3 << 20)))
    for bomb in (path, packed):
        with pytest.raises(UnreadableFile, match=r"over 200 times its size, as a zip bomb does; .*unpack it yourself"):
            list(read_tweets(bomb, "TeapotFan"))
    monkeypatch.setattr(stream, "MOST_BYTES", 2 << 20)
    with pytest.raises(UnreadableFile, match="holds over 2 MiB; split it"):
        list(read_tweets(zipped(tmp_path / "b.zip", {"data/tweets.js": blanks}), "TeapotFan"))


def test_a_zip_with_too_long_a_table_of_contents_is_not_loaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = archive(tmp_path / "a.zip", archived())
    monkeypatch.setattr(members, "MOST_DIRECTORY_BYTES", 50)
    with pytest.raises(UnreadableFile, match="too many files to be listed in memory; unpack it"):
        list(read_tweets(path))


def test_too_many_long_posts_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = archive(tmp_path / "a.zip", archived(), note__tweet=ytd("note_tweet", [note("long " * 99)]))
    monkeypatch.setattr(notes, "MOST_NOTE_BYTES", 50)
    with pytest.raises(UnreadableFile, match="more long posts than fit in memory; remove it"):
        list(read_tweets(path))


# --- Any bytes at all -------------------------------------------------------------------------------------------------

PIECES = [
    b"[",
    b"]",
    b"{",
    b"}",
    b'"',
    b",",
    b":",
    b'"text"',
    b"\\",
    b"\n",
    b"window.YTD.tweets.part0 = [",
    b"\xff",
    b"1",
]


@pytest.fixture(scope="module")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("any")


@given(
    st.sampled_from(["a.jsonl", "a.csv", "tweets.js", "a.zip", "a.jsonl.gz"]),
    st.sampled_from([b"", b"PK\x03\x04", b"\x1f\x8b\x08", b"text\n", b"window.YTD.tweets.part0 = ", b"["]),
    st.lists(st.sampled_from(PIECES) | st.binary(max_size=8), max_size=30).map(b"".join),
)
def test_any_bytes_are_read_or_refused_in_a_sentence(scratch: Path, name: str, head: bytes, rest: bytes) -> None:
    (scratch / name).write_bytes(head + rest)
    said = f"{name} was read"
    try:
        for tweet in read_tweets(scratch / name, "TeapotFan"):
            tweet.text.encode("utf-8")
    except UnreadableFile as refused:
        said = str(refused)
    assert said.startswith(name)


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"])), min_size=1), st.integers(1, 40))
def test_a_list_is_parsed_the_same_wherever_the_pieces_end(scratch: Path, written: list[str], piece: int) -> None:
    whole = (ytd("tweets", [archived(n, text) for n, text in enumerate(written)]) + ";").encode()
    pieces = (whole[start : start + piece] for start in range(0, len(whole), piece))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(window, "CHUNK", piece)
        records = list(objects.ytd_objects("tweets.js", pieces, "tweets"))
    assert records == [archived(n, text) for n, text in enumerate(written)]


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\r")), min_size=1))
def test_what_is_written_as_csv_is_read_back(scratch: Path, written: list[str]) -> None:
    out = io.StringIO(newline="")
    writer = csv.writer(out)
    writer.writerow(["id", "text"])
    writer.writerows([n, text] for n, text in enumerate(written))
    (scratch / "back.csv").write_bytes(out.getvalue().encode())
    assert texts(scratch / "back.csv", "TeapotFan") == written


# --- Memory, and the real timelines -----------------------------------------------------------------------------------

# Not ru_maxrss: a child inherits that of the process it was forked from, and the tests' may have loaded torch.
MEASURE = """
import re, sys
from pathlib import Path
from training.timeline import count, read_tweets
downloaded = count(read_tweets(Path(sys.argv[1]))).downloaded
print(downloaded, re.search(r"VmHWM:\\s+([0-9]+) kB", Path("/proc/self/status").read_text())[1])
"""


def test_a_large_archive_is_read_in_little_memory(tmp_path: Path) -> None:
    path, tweets = tmp_path / "large.zip", 24_000
    padding = {f"field_{n}": os.urandom(40).hex() for n in range(50)}  # a real tweet drags 3 to 5 KB of entities along
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as packed:
        packed.writestr("data/account.js", account())
        with packed.open("data/tweets.js", "w") as file:
            file.write(b"window.YTD.tweets.part0 = [")
            for number in range(tweets):
                end = "]" if number == tweets - 1 else ","
                file.write((json.dumps(archived(number, f"{TEXT} {number} 🫖", entities=padding)) + end).encode())
        assert packed.getinfo("data/tweets.js").file_size > 100 << 20
    command = [sys.executable, "-c", MEASURE, str(path)]
    said = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout.split()
    assert int(said[0]) == tweets
    assert int(said[1]) < 256 * 1024, f"peak {int(said[1]) // 1024} MiB"


def test_the_counts_of_every_real_timeline_are_huggingtweets_counts() -> None:
    timelines = Path(os.environ.get("MOCKINGBIRD_SHARED", ROOT.parent / "shared")) / "data" / "timelines"
    if not (timelines / "authors.csv").is_file():
        pytest.skip(f"the real timelines are not part of the project, and {timelines} is absent (MOCKINGBIRD_SHARED)")
    with (timelines / "authors.csv").open(encoding="utf-8", newline="") as file:
        expected = {
            row["handle"]: Counts(*(int(row[column]) for column in ("downloaded", "retweets", "short", "kept")))
            for row in csv.DictReader(file)
        }
    files = {path.name.removesuffix(".jsonl.gz"): path for path in timelines.glob("*.jsonl.gz")}
    assert files.keys() == expected.keys()
    assert {handle: count(read_tweets(path)) for handle, path in files.items()} == expected
