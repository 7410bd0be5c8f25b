"""Whole or not at all: kills, full disks, readers at the same time, what earlier writers left."""

import contextlib
import errno
import os
import resource
import shutil
import signal
import stat
import subprocess
import sys
import time

import pytest

from labse_tf.files import atomic
from labse_tf.files.atomic import atomic_directory, atomic_file, durable_rename

PREVENTED = [KeyboardInterrupt, ValueError("said")]


def write(path, kind, text, **options):
    if kind == "file":
        with atomic_file(path) as file:
            file.write(text)
    else:
        with atomic_directory(path, **options) as folder:
            os.mkdir(os.path.join(folder, "inside"))
            with open(os.path.join(folder, "inside", "text"), "w") as file:
                file.write(text)


def read(path):
    path = str(path)
    with open(path if os.path.isfile(path) else os.path.join(path, "inside", "text")) as file:
        return file.read()


@pytest.fixture(params=["file", "directory"])
def kind(request):
    return request.param


@pytest.fixture
def no_exchange(monkeypatch):
    """As on a file system that cannot swap two paths."""
    monkeypatch.setattr(atomic._libc, "renameat2", lambda *arguments: -1)


@contextlib.contextmanager
def umask(mask):
    before = os.umask(mask)
    try:
        yield
    finally:
        os.umask(before)


@contextlib.contextmanager
def writer(path, kind):
    """A process that has begun to write to `path`, and goes on when its stdin ends."""
    code = f"""
import os, sys
from labse_tf.files.atomic import atomic_directory, atomic_file
with (atomic_file if {kind == "file"} else atomic_directory)({str(path)!r}) as output:
    file = output if {kind == "file"} else open(os.path.join(output, "text"), "w")
    file.write("half")
    file.flush()
    print("begun", flush=True)
    sys.stdin.read()
"""
    process = subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    with process:
        try:
            assert process.stdout.readline() == "begun\n"
            yield process
        finally:
            process.kill()


def test_new_and_in_place_of_another(tmp_path, kind):
    for text in ("first", "second ä\n"):
        write(tmp_path / "out", kind, text)
        assert read(tmp_path / "out") == text and os.listdir(tmp_path) == ["out"]


def test_bytes_and_line_feeds(tmp_path):
    with atomic_file(tmp_path / "out", "wb") as file:
        file.write(b"\xff\r\n")
    assert (tmp_path / "out").read_bytes() == b"\xff\r\n"
    with atomic_file(tmp_path / "out") as file:
        file.write("ä\r\n\n")
    assert (tmp_path / "out").read_bytes() == "ä\r\n\n".encode()


def test_the_folder_is_made_for_a_directory_and_not_for_a_file(tmp_path, monkeypatch):
    write(tmp_path / "a" / "b" / "out", "directory", "text")
    assert read(tmp_path / "a" / "b" / "out") == "text"
    with pytest.raises(FileNotFoundError) as error:
        write(tmp_path / "c" / "out", "file", "text")
    assert error.value.filename == str(tmp_path / "c" / "out")
    monkeypatch.chdir(tmp_path)
    write("relative", "file", "text")
    write("a/relative", "directory", "text")
    assert read("relative") == read("a/relative") == "text"


@pytest.mark.parametrize("error", PREVENTED)
def test_after_an_error_all_is_as_it_was(tmp_path, kind, error):
    for there in (False, True):
        if there:
            write(tmp_path / "out", kind, "before")
        with pytest.raises(error if isinstance(error, type) else ValueError):
            with (atomic_file if kind == "file" else atomic_directory)(tmp_path / "out"):
                assert len(os.listdir(tmp_path)) == 1 + there
                raise error
        assert os.listdir(tmp_path) == ["out"] * there
    assert read(tmp_path / "out") == "before"


def test_a_kill_leaves_what_was_there_and_the_next_write_cleans_up(tmp_path, kind):
    write(tmp_path / "out", kind, "before")
    with writer(tmp_path / "out", kind) as process:
        process.send_signal(signal.SIGKILL)
        assert process.wait(60) == -signal.SIGKILL
    (left,) = {*os.listdir(tmp_path)} - {"out"}
    assert left.startswith(".out.") and left.endswith(".unfinished")
    assert read(tmp_path / "out") == "before"
    # Of another target, and not of ours, though their names begin alike.
    with writer(tmp_path / "out.txt", kind) as process:
        process.kill()
        process.wait(60)
    (other,) = {*os.listdir(tmp_path)} - {"out", left}
    os.mkdir(tmp_path / ".out.mine.unfinished")
    write(tmp_path / "out", kind, "after")
    assert sorted(os.listdir(tmp_path)) == sorted(["out", other, ".out.mine.unfinished"])
    assert read(tmp_path / "out") == "after"


def test_what_a_living_process_writes_is_left_alone(tmp_path, kind):
    with writer(tmp_path / "out", kind) as one:
        (left,) = os.listdir(tmp_path)
        write(tmp_path / "out", kind, "ours")
        assert {*os.listdir(tmp_path)} == {"out", left}
        assert read(tmp_path / "out") == "ours"
        one.stdin.close()
        assert one.wait(60) == 0  # it finds what it has written, and replaces ours
    assert os.listdir(tmp_path) == ["out"]
    path = tmp_path / "out" if kind == "file" else tmp_path / "out" / "text"
    assert path.read_text() == "half"


def test_what_another_thread_writes_is_left_alone(tmp_path, kind):
    with (atomic_file if kind == "file" else atomic_directory)(tmp_path / "out"):
        (left,) = os.listdir(tmp_path)
        write(tmp_path / "out", kind, "ours")
        assert {*os.listdir(tmp_path)} == {"out", left}


def test_taken_for_a_leftover_before_it_was_locked(tmp_path, kind, monkeypatch):
    """Another process removes the sibling between its creation and its lock: one more is made."""
    create, made = getattr(atomic, f"_create_{kind}"), []

    def create_and_lose(path):
        descriptor = create(path)
        made.append(path)
        if len(made) == 1:
            atomic.remove_leftovers(str(tmp_path / "out"))
            assert not os.path.lexists(path)
        return descriptor

    monkeypatch.setattr(atomic, f"_create_{kind}", create_and_lose)
    write(tmp_path / "out", kind, "text")
    assert len(made) == 2 and read(tmp_path / "out") == "text"
    assert os.listdir(tmp_path) == ["out"]


def test_a_directory_that_is_gone_before_it_is_opened(tmp_path, monkeypatch):
    mkdir, made = os.mkdir, []

    def make_and_lose(path, *arguments):
        mkdir(path, *arguments)
        made.append(path)
        if len(made) == 1:
            os.rmdir(path)

    monkeypatch.setattr(os, "mkdir", make_and_lose)
    write(tmp_path / "out", "directory", "text")
    assert made[0] != made[1] and read(tmp_path / "out") == "text"


def test_a_temporary_name_that_is_taken(tmp_path, kind, monkeypatch):
    tokens = iter(["01234567", "01234567", "89abcdef"])
    monkeypatch.setattr(atomic.secrets, "token_hex", lambda number: next(tokens))
    with (atomic_file if kind == "file" else atomic_directory)(tmp_path / "out"):
        write(tmp_path / "out", kind, "inner")
        assert read(tmp_path / "out") == "inner" and next(tokens, None) is None
        assert {*os.listdir(tmp_path)} == {"out", ".out.01234567.unfinished"}


def test_a_file_system_without_locks(tmp_path, kind, monkeypatch):
    """Then nobody knows who is alive, so all is left alone."""

    def refuse(descriptor, operation):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(atomic.fcntl, "flock", refuse)
    left = tmp_path / ".out.01234567.unfinished"
    left.mkdir()
    write(tmp_path / "out", kind, "text")
    assert read(tmp_path / "out") == "text" and left.exists()
    monkeypatch.undo()
    write(tmp_path / "out", kind, "text")
    assert os.listdir(tmp_path) == ["out"]


def test_leftovers_that_cannot_be_removed_hinder_nobody(tmp_path, kind, monkeypatch, caplog):
    (tmp_path / ".out.01234567.unfinished").mkdir()
    remove = shutil.rmtree

    def refuse(path):
        if "01234567" in str(path):
            raise PermissionError(errno.EACCES, "Permission denied", path)
        remove(path)

    monkeypatch.setattr(shutil, "rmtree", refuse)
    write(tmp_path / "out", kind, "text")
    assert read(tmp_path / "out") == "text"
    assert "01234567.unfinished' is left behind, since it cannot be removed" in caplog.text


def test_leftovers_of_other_users_hinder_nobody(tmp_path, kind, monkeypatch):
    (tmp_path / ".out.01234567.unfinished").mkdir()
    (tmp_path / ".out.89abcdef.unfinished").mkdir()
    opened = os.open

    def refuse(path, *arguments, **options):
        if "01234567" in str(path):
            raise PermissionError(errno.EACCES, "Permission denied", path)
        return opened(path, *arguments, **options)

    monkeypatch.setattr(os, "open", refuse)
    write(tmp_path / "out", kind, "text")
    assert sorted(os.listdir(tmp_path)) == [".out.01234567.unfinished", "out"]


def test_full_disk(tmp_path, kind):
    """In a process of its own, whose files may have 1,000 bytes."""
    write(tmp_path / "out", kind, "before")
    path, opened = str(tmp_path / "out"), "atomic_file" if kind == "file" else "atomic_directory"
    for size in (5000, 50_000):  # within Python's buffer and above it
        code = f"""
import os
from labse_tf.files.atomic import {opened}
try:
    with {opened}({path!r}) as output:
        file = output if {kind == "file"} else open(os.path.join(output, "text"), "w")
        file.write("x" * {size})
        if {kind == "directory"}:
            file.close()
except OSError as error:
    print(error.errno, error.filename)
"""
        done = subprocess.run(
            [sys.executable, "-c", code],
            stdout=subprocess.PIPE,
            text=True,
            check=True,
            preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000)),
        )
        assert done.stdout == f"{errno.EFBIG} {path}\n"
        assert os.listdir(tmp_path) == ["out"] and read(tmp_path / "out") == "before"


def test_errors_name_the_target_and_not_its_sibling(tmp_path):
    with pytest.raises(FileNotFoundError) as error:
        with atomic_directory(tmp_path / "out") as folder:
            open(os.path.join(folder, "no", "file"), "w")
    assert error.value.filename == str(tmp_path / "out" / "no" / "file")
    with pytest.raises(NotADirectoryError) as error:
        write(tmp_path / "file", "file", "")
        write(tmp_path / "file" / "out", "file", "")
    assert error.value.filename == str(tmp_path / "file" / "out")
    (tmp_path / "there").mkdir()
    with pytest.raises(IsADirectoryError) as error:
        write(tmp_path / "there", "file", "text")
    assert error.value.filename == str(tmp_path / "there")
    assert sorted(os.listdir(tmp_path)) == ["file", "there"]


def test_errors_about_something_else_stay(tmp_path, kind):
    for raised in (
        FileNotFoundError(errno.ENOENT, "No such file or directory", "input.txt"),
        ConnectionRefusedError(errno.ECONNREFUSED, "Connection refused"),
        OSError("no errno"),
    ):
        with pytest.raises(OSError) as error:
            with (atomic_file if kind == "file" else atomic_directory)(tmp_path / "out"):
                raise raised
        assert error.value is raised
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("mask", [0o022, 0o027, 0o077])
def test_permissions_are_those_of_the_umask(tmp_path, kind, mask):
    with umask(mask):
        for _ in range(2):
            write(tmp_path / "out", kind, "text")
            found = stat.S_IMODE(os.stat(tmp_path / "out").st_mode)
            assert found == (0o666 if kind == "file" else 0o777) & ~mask
            os.chmod(tmp_path / "out", 0o700)  # what is replaced has no say
        (tmp_path / "private").mkdir(mode=0o700)
        with atomic_directory(tmp_path / "copied") as folder:
            shutil.copytree(tmp_path / "private", folder, dirs_exist_ok=True)
        assert stat.S_IMODE(os.stat(tmp_path / "copied").st_mode) == 0o777 & ~mask


def test_what_is_replaced_is_never_missing(tmp_path, kind, monkeypatch):
    """A process looks at the path as fast as it can meanwhile."""
    write(tmp_path / "out", kind, "before")
    for name in ("rename", "unlink"):  # so slow that a moment between two of them is seen
        function = getattr(os, name)

        def slow(*arguments, function=function, **options):
            function(*arguments, **options)
            time.sleep(0.002)

        monkeypatch.setattr(os, name, slow)
    code = f"""
import os, sys
path, stop = {str(tmp_path / "out")!r}, {str(tmp_path / "stop")!r}
print("looking", flush=True)
looked = missing = 0
inodes = set()
while not os.path.exists(stop):
    for _ in range(1000):
        looked += 1
        try:
            inodes.add(os.stat(path).st_ino)
        except FileNotFoundError:
            missing += 1
print(looked, missing, len(inodes))
"""
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    with process:
        assert process.stdout.readline() == "looking\n"
        for number in range(100):
            write(tmp_path / "out", kind, str(number))
        (tmp_path / "stop").touch()
        looked, missing, inodes = map(int, process.stdout.read().split())
    assert looked > 1000 and inodes > 1
    assert missing == 0
    assert sorted(os.listdir(tmp_path)) == ["out", "stop"]


def test_where_paths_cannot_be_swapped(tmp_path, no_exchange):
    write(tmp_path / "out", "directory", "before")
    write(tmp_path / "out", "directory", "after")
    assert read(tmp_path / "out") == "after" and os.listdir(tmp_path) == ["out"]


@pytest.mark.parametrize("error", [OSError(errno.EIO, "Input/output error"), KeyboardInterrupt()])
@pytest.mark.parametrize("at", [1, 2])
def test_what_was_put_aside_comes_back(tmp_path, no_exchange, monkeypatch, error, at):
    write(tmp_path / "out", "directory", "before")
    rename, calls = os.rename, []

    def fail(source, path):
        calls.append(path)
        if len(calls) == at:
            raise error
        rename(source, path)

    monkeypatch.setattr(os, "rename", fail)
    with pytest.raises(type(error)):
        write(tmp_path / "out", "directory", "after")
    assert read(tmp_path / "out") == "before" and os.listdir(tmp_path) == ["out"]


def test_an_interrupt_right_after_putting_aside(tmp_path, no_exchange, monkeypatch):
    write(tmp_path / "out", "directory", "before")
    rename = os.rename

    def interrupted(source, path):
        rename(source, path)
        if path.endswith(".replaced"):
            raise KeyboardInterrupt

    monkeypatch.setattr(os, "rename", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write(tmp_path / "out", "directory", "after")
    assert read(tmp_path / "out") == "before" and os.listdir(tmp_path) == ["out"]


def test_a_kill_between_putting_aside_and_renaming(tmp_path, kind):
    """What was there is not thrown away before something new stands in its place."""
    aside = tmp_path / ".out.01234567.replaced"
    write(aside, "directory", "before")
    with pytest.raises(ValueError):
        with atomic_directory(tmp_path / "out"):
            raise ValueError
    assert os.listdir(tmp_path) == [aside.name]
    write(tmp_path / "out", kind, "new")
    assert read(aside) == "before"
    write(tmp_path / "out", kind, "newer")
    assert os.listdir(tmp_path) == ["out"] and read(tmp_path / "out") == "newer"


def test_links_are_replaced_and_not_followed(tmp_path, kind):
    write(tmp_path / "real", kind, "before")
    for there in (True, False):
        if not there:
            (tmp_path / "out").unlink() if kind == "file" else shutil.rmtree(tmp_path / "out")
        os.symlink(tmp_path / ("real" if there else "nowhere"), tmp_path / "out")
        write(tmp_path / "out", kind, "after")
        assert not os.path.islink(tmp_path / "out") and read(tmp_path / "out") == "after"
        assert read(tmp_path / "real") == "before"
        assert sorted(os.listdir(tmp_path)) == ["out", "real"]
    os.symlink(tmp_path / "real", tmp_path / ".out.01234567.unfinished")
    write(tmp_path / "out", kind, "newer")
    assert sorted(os.listdir(tmp_path)) == ["out", "real"]
    assert read(tmp_path / "real") == "before"


def test_a_directory_in_place_of_a_file(tmp_path):
    write(tmp_path / "out", "file", "before")
    write(tmp_path / "out", "directory", "after")
    assert read(tmp_path / "out") == "after" and os.listdir(tmp_path) == ["out"]


@pytest.fixture
def events(monkeypatch):
    """What is synced and renamed, in order: inode numbers, and names."""
    seen, rename, sync = [], os.rename, os.fsync

    def synced(descriptor):
        sync(descriptor)
        seen.append(os.fstat(descriptor).st_ino)

    def renamed(source, path):
        rename(source, path)
        seen.append(os.path.basename(path))

    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(os, "rename", renamed)
    return seen


def test_all_is_on_the_disk_before_it_has_its_name(tmp_path, kind, events):
    write(tmp_path / "out", kind, "text")

    def inode(*parts):
        return os.stat(tmp_path.joinpath(*parts)).st_ino

    if kind == "file":
        before = {inode("out")}
    else:
        before = {inode("out"), inode("out", "inside"), inode("out", "inside", "text")}
    name = events.index("out")
    assert {*events[:name]} == before
    assert {*events[name + 1 :]} == {inode()}
    if kind == "directory":  # replaced by an exchange, which is no rename of Python's
        events.clear()
        write(tmp_path / "out", kind, "text")
        last = inode("out"), inode("out", "inside"), inode("out", "inside", "text")
        assert {*events[:-1]} == {*last} and events[-1] == inode()


def test_a_durable_rename(tmp_path, events):
    (tmp_path / "a").touch()
    durable_rename(tmp_path / "a", tmp_path / "b")
    assert events == ["b", os.stat(tmp_path).st_ino] and os.listdir(tmp_path) == ["b"]


def test_links_inside_are_not_followed_to_the_disk(tmp_path, events):
    with atomic_directory(tmp_path / "out") as folder:
        os.symlink(tmp_path / "nowhere", os.path.join(folder, "link"))
        os.symlink(tmp_path, os.path.join(folder, "up"))
    assert events.count(os.stat(tmp_path).st_ino) == 1


@pytest.mark.parametrize("number", [errno.EINVAL, errno.ENOTSUP])
def test_a_file_system_that_syncs_no_directories(tmp_path, kind, monkeypatch, number):
    sync = os.fsync

    def refuse(descriptor):
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            raise OSError(number, os.strerror(number))
        sync(descriptor)

    monkeypatch.setattr(os, "fsync", refuse)
    write(tmp_path / "out", kind, "text")
    assert read(tmp_path / "out") == "text"


def test_a_disk_that_does_not_take_the_name(tmp_path, kind, monkeypatch):
    """The file is there and whole, but a power failure might undo it: that is said."""
    sync = os.fsync

    def refuse(descriptor):
        if os.path.samestat(os.fstat(descriptor), os.stat(tmp_path)):
            raise OSError(errno.EIO, "Input/output error")
        sync(descriptor)

    monkeypatch.setattr(os, "fsync", refuse)
    with pytest.raises(OSError) as error:
        write(tmp_path / "out", kind, "after")
    assert (error.value.errno, error.value.filename) == (errno.EIO, str(tmp_path))
    assert read(tmp_path / "out") == "after" and os.listdir(tmp_path) == ["out"]


@pytest.mark.parametrize("number", [errno.EINVAL, errno.EIO])
def test_a_disk_that_does_not_take_it(tmp_path, kind, monkeypatch, number):
    write(tmp_path / "out", kind, "before")

    def refuse(descriptor):
        if number == errno.EIO or stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "fsync", refuse)
    with pytest.raises(OSError) as error:
        write(tmp_path / "out", kind, "after")
    inside = "inside/text" if kind == "directory" else ""
    assert (error.value.errno, error.value.filename) == (number, str(tmp_path / "out" / inside))
    assert read(tmp_path / "out") == "before" and os.listdir(tmp_path) == ["out"]


def test_a_name_that_is_known_only_at_the_end(tmp_path, events):
    def rename(unfinished, path):
        assert path == str(tmp_path / "out")
        os.rename(unfinished, f"{path}-7")

    write(tmp_path / "out", "directory", "text", rename=rename)
    assert read(tmp_path / "out-7") == "text" and os.listdir(tmp_path) == ["out-7"]
    assert events[-2:] == ["out-7", os.stat(tmp_path).st_ino]
