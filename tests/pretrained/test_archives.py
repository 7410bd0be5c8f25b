"""Archives of a directory: their kinds, what macOS adds, what leads out of them."""

import io
import os
import random
import stat
import tarfile
import zipfile

import pytest

from labse_tf.pretrained.archives import extract, is_archive

FILES = {
    "labse/saved_model.pb": b"graph",
    "labse/assets/vocab.txt": random.Random(0).randbytes(20_000),
}
OF_MACOS = ("._labse", "labse/._saved_model.pb", "labse/assets/.DS_Store", "__MACOSX/labse/._x")


def written(path, names):
    """An archive with some files of FILES and empty others."""
    if path.name.lower().endswith(".zip"):
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for name in names:
                archive.writestr(name, FILES.get(name, b""))
        return path
    kind = {".gz": "gz", ".xz": "xz", ".bz2": "bz2"}[path.suffix.lower()]
    with tarfile.open(path, f"w:{kind}") as archive:
        for name in names:
            member = tarfile.TarInfo(name)
            member.size = len(FILES.get(name, b""))
            archive.addfile(member, io.BytesIO(FILES.get(name, b"")))
    return path


@pytest.mark.parametrize("name", ["a.tar.gz", "a.tar.xz", "A.TAR.BZ2", "a.zip", "A.ZIP"])
def test_the_directory_in_an_archive(tmp_path, name):
    archive = written(tmp_path / name, [OF_MACOS[0], *FILES, *OF_MACOS[1:]])
    assert is_archive(str(archive))
    inside = extract(str(archive), str(tmp_path / "to"))
    assert inside == str(tmp_path / "to" / "labse")
    found = {
        os.path.relpath(os.path.join(folder, name), tmp_path / "to"): folder
        for folder, _, names in os.walk(tmp_path / "to")
        for name in names
    }
    assert set(found) == set(FILES)
    for file, content in FILES.items():
        assert (tmp_path / "to" / file).read_bytes() == content


@pytest.mark.parametrize("name", ["a.tar.gz", "a.tar.xz", "a.tar.bz2", "a.zip"])
def test_half_an_archive(tmp_path, name):
    archive = written(tmp_path / name, FILES)
    whole = archive.read_bytes()
    for share in (0, 0.1, 0.5, 0.9):
        archive.write_bytes(whole[: int(share * len(whole))])
        with pytest.raises(ValueError, match=rf"{name}' is not a whole archive: .*completely\?"):
            extract(str(archive), str(tmp_path / "to"))


def test_a_zip_cannot_write_outside(tmp_path):
    link = zipfile.ZipInfo("link")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    for member, said in (
        ("../outside", "leads out"),
        ("a/../../outside", "leads out"),
        ("/tmp/outside", "leads out"),
        (link, "'link', which is neither file nor directory"),
    ):
        with zipfile.ZipFile(tmp_path / "evil.zip", "w") as archive:
            archive.writestr("good", "")
            archive.writestr(member, "/etc/passwd")
        with pytest.raises(ValueError, match=said):
            extract(str(tmp_path / "evil.zip"), str(tmp_path / "to"))
        assert os.listdir(tmp_path) == ["evil.zip"]


def test_names_that_are_no_archives():
    assert not any(map(is_archive, ("labse", "labse.gz", "zip", "a.tar.gz.part")))
