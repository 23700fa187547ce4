"""Files that are written whole or not at all."""

from __future__ import annotations

import os
import resource
import stat
import threading
from contextlib import contextmanager
from pathlib import Path

import pytest

import multilevel as ml
from multilevel.files import replacing, write_text


@contextmanager
def a_full_disk(size: int = 500):
    """No file may grow beyond a few bytes, as on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.fixture(scope="module")
def fit() -> ml.LinearMixedModel:
    return ml.lmer("Reaction ~ Days + (Days | Subject)", ml.load_dataset("sleepstudy"))


@pytest.fixture(scope="module")
def report(fit) -> ml.Report:
    return ml.report(fit, pictures=False, checks=False)


WRITERS = ["fit.mlm", "report.html", "table.html", "table.tex", "table.md", "table.csv", "table.txt"]


def writer(name: str, fit: ml.LinearMixedModel, report: ml.Report):
    if name == "fit.mlm":
        return fit.save
    return report.save if name == "report.html" else ml.anova(fit).save if name == "table.csv" else fit.summary().save


@pytest.mark.parametrize("name", WRITERS)
def test_a_full_disk_leaves_the_old_file(name, fit, report, tmp_path):
    path = tmp_path / name
    path.write_text("the old file")
    with a_full_disk(50), pytest.raises(ml.FileError, match=r"cannot be written: File too large\.$") as caught:
        writer(name, fit, report)(path)
    assert isinstance(caught.value, OSError)
    assert path.read_text() == "the old file"
    assert [file.name for file in tmp_path.iterdir()] == [name]
    writer(name, fit, report)(path)
    assert path.stat().st_size > 50
    assert [file.name for file in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize("name", WRITERS)
def test_links_are_replaced_and_never_followed(name, fit, report, tmp_path):
    (tmp_path / "other").write_text("somebody else's")
    (tmp_path / name).symlink_to(tmp_path / "other")
    (tmp_path / f"{name}.partial").symlink_to(tmp_path / "other")
    writer(name, fit, report)(tmp_path / name)
    assert (tmp_path / "other").read_text() == "somebody else's"
    assert (tmp_path / f"{name}.partial").is_symlink()
    assert not (tmp_path / name).is_symlink()


@pytest.mark.parametrize("name", WRITERS)
def test_what_cannot_be_written_is_one_sentence(name, fit, report, tmp_path):
    write = writer(name, fit, report)
    with pytest.raises(ml.FileError, match=r"^The file '.*nowhere.*' cannot be written: No such file or directory\.$"):
        write(tmp_path / "nowhere" / name)
    (tmp_path / name).mkdir()
    with pytest.raises(ml.FileError, match=r"cannot be written: there is a folder of that name\.$"):
        write(tmp_path / name)


def test_permissions_are_those_of_the_old_file_or_of_any_new_one(tmp_path):
    plain, path = tmp_path / "plain", tmp_path / "text"
    plain.write_text("x")
    write_text(path, "one")
    assert stat.S_IMODE(path.stat().st_mode) == stat.S_IMODE(plain.stat().st_mode)
    path.chmod(0o640)
    write_text(path, "two")
    assert (path.read_text(), stat.S_IMODE(path.stat().st_mode)) == ("two", 0o640)


def test_an_exception_inside_leaves_nothing(tmp_path):
    def stop_half_way() -> None:
        with replacing(tmp_path / "text") as stream:
            stream.write(b"half of it")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stop_half_way()
    assert list(tmp_path.iterdir()) == []


def test_pipes_are_written_to(tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    found: list[str] = []
    reader = threading.Thread(target=lambda: found.append(pipe.read_text()))
    reader.start()
    write_text(pipe, "through")
    reader.join()
    assert (found, stat.S_ISFIFO(pipe.stat().st_mode)) == (["through"], True)


def test_two_savers_and_a_reader_of_one_file(fit, tmp_path):
    path = tmp_path / "fit.mlm"
    fit.save(path)
    failed: list[BaseException] = []

    def repeat(action, times: int) -> None:
        try:
            for _ in range(times):
                action()
        except BaseException as error:
            failed.append(error)

    workers = [
        threading.Thread(target=repeat, args=(action, times))
        for action, times in (
            (lambda: fit.save(path, data=True), 10),
            (lambda: fit.save(path), 10),
            (lambda: ml.load(path), 20),
        )
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert failed == []
    assert [file.name for file in Path(tmp_path).iterdir()] == ["fit.mlm"]


def test_files_that_cannot_be_read(tmp_path):
    with pytest.raises(ml.MissingFileError, match="There is no file"):
        ml.load(tmp_path / "nothing.mlm")
    with pytest.raises(FileNotFoundError):
        ml.load(tmp_path / "nothing.mlm")
    with pytest.raises(ml.FileError, match=r"cannot be read: Is a directory\.$"):
        ml.load(tmp_path)
