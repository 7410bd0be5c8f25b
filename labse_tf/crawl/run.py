"""Run: the stages of one work folder, on one engine."""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import functools
import json
import logging
import os
from collections.abc import Iterator, Sequence
from typing import Any

from labse_tf.crawl.engine import Engine
from labse_tf.crawl.options import CrawlOptions
from labse_tf.crawl.tasks import Record, Task, damaged_files, files_key, run_task
from labse_tf.files.atomic import atomic_file
from labse_tf.version import __version__

_log = logging.getLogger(__name__)


@dataclasses.dataclass
class Manifest:
    """What a stage has done, written as STAGE/manifest.json.

    Args:
        stage: its name.
        settings: what it was done with.
        finished: whether all of it is done.
        facts: what later stages need to know.
        records: of its tasks, by phase and name.
    """

    stage: str
    settings: dict[str, Any]
    finished: bool = False
    facts: dict[str, Any] = dataclasses.field(default_factory=dict)
    records: dict[str, dict[str, Record]] = dataclasses.field(default_factory=dict)

    def digest(self, phase: str) -> str:
        """Of all files that a phase made."""
        return files_key(self.records[phase].values())


class Run:
    """The stages of a work folder.

    Args:
        folder: the work folder, which every process sees under this path.
        options: of the stages.
        engine: does the tasks.
        redo: stages that are done anew where their settings differ from those of the manifest.
    """

    def __init__(
        self, folder: str, options: CrawlOptions, engine: Engine, redo: Sequence[str] = ()
    ):
        self.folder, self.options, self.engine = os.path.abspath(folder), options, engine
        self._redo = redo
        self._whole: dict[str, Manifest] = {}  # finished, and their files were looked at

    def path(self, *names: str) -> str:
        """A path in the work folder."""
        return os.path.join(self.folder, *names)

    def begin(self, stage: str, more: dict[str, Any] | None = None) -> Manifest:
        """A stage's manifest, on the disk before any of its tasks.

        Args:
            stage: its name.
            more: settings beside those of the options.

        Raises:
            ValueError: it was begun with other settings, and is not to be redone.
        """
        settings = json.loads(json.dumps({**self.options.of_stage(stage), **(more or {})}))
        before = read_manifest(self.folder, stage)
        if before is not None:
            differ = [
                f"{name} {before.settings.get(name)!r}, now {value!r}"
                for name, value in settings.items()
                if before.settings.get(name) != value
            ]
            if differ:
                self.refuse(stage, f"it was made with other settings: {'; '.join(differ)}")
        manifest = Manifest(stage, settings)
        os.makedirs(self.path(stage), exist_ok=True)
        self._write(manifest)
        return manifest

    def refuse(self, stage: str, why: str) -> None:
        """Raises ValueError, unless the stage is to be redone."""
        if stage not in self._redo:
            raise ValueError(
                f"{self.path(stage)!r} cannot go on: {why}. Give what it was made with, or --redo "
                f"{stage} to make it anew, or another --work."
            )

    def phase(self, manifest: Manifest, name: str, tasks: Sequence[Task]) -> list[Record]:
        """Does the tasks of a phase that are not done yet; the records are in their order."""
        what = f"{manifest.stage}: {name}"
        records = self.engine.map(functools.partial(run_task, self.folder), tasks, what)
        kept = sum(record.kept for record in records)
        _log.info("%s: %d tasks, of which %d were done before", what, len(records), kept)
        manifest.records[name] = {record.name: record for record in records}
        return records

    def finish(self, manifest: Manifest, facts: dict[str, Any]) -> None:
        """Notes that a stage is done, and what later stages need to know of it."""
        manifest.finished, manifest.facts = True, json.loads(json.dumps(facts))
        self._write(manifest)
        self._whole[manifest.stage] = manifest

    def needs(self, stage: str) -> Manifest:
        """The manifest of an earlier stage, after a look at the checksums of all its files.

        Raises:
            ValueError: it is not finished, files of it are absent or damaged, or an option of it is
                given that it was not made with.
        """
        if stage in self._whole:
            return self._whole[stage]
        manifest = read_manifest(self.folder, stage)
        if manifest is None or not manifest.finished:
            state = "is not finished" if manifest else "was not begun"
            raise ValueError(
                f"{stage} {state} in {self.folder!r}: run `labse crawl {stage}` first."
            )
        self._check_given(manifest)
        records = [record for phase in manifest.records.values() for record in phase.values()]
        check = functools.partial(damaged_files, self.folder)
        checked = self.engine.map(check, records, f"{stage}: checksums")
        damaged = [name for names in checked for name in names]
        if damaged:
            raise ValueError(
                f"{len(damaged)} files of {stage} are absent or not what they were, as "
                f"{self.path(damaged[0])!r}: run `labse crawl {stage}`, which makes them anew."
            )
        self._whole[stage] = manifest
        return manifest

    def _check_given(self, manifest: Manifest) -> None:
        """An option that is not its default was given to have an effect: here it has none."""
        for field in dataclasses.fields(self.options):
            given, stage = getattr(self.options, field.name), field.metadata["stage"]
            # The manifest has the model's fingerprint: a stage that embeds compares it.
            if stage != manifest.stage or given == field.default or field.name == "model":
                continue
            if manifest.settings.get(field.name) != given:
                raise ValueError(
                    f"`{field.name}` (={given!r}) is of {stage}, which is not asked for and was "
                    f"made with {manifest.settings.get(field.name)!r}: leave it out, or do "
                    f"`labse crawl {stage}` with --redo {stage}."
                )

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """The work folder for this driver alone.

        Raises:
            ValueError: another driver works in it.
        """
        os.makedirs(self.folder, exist_ok=True)
        with open(self.path("lock"), "w", encoding="utf-8") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise ValueError(
                    f"Another `labse crawl` works in {self.folder!r}. Wait for it, or end it."
                ) from error
            yield

    def _write(self, manifest: Manifest) -> None:
        values = {**dataclasses.asdict(manifest), "version": __version__}
        for phase in values["records"].values():
            for record in phase.values():
                del record["name"], record["kept"]
        with atomic_file(_manifest_path(self.folder, manifest.stage)) as file:
            json.dump(values, file, indent=1, ensure_ascii=False)


def read_manifest(folder: str, stage: str) -> Manifest | None:
    """The manifest of a stage; None if there is none.

    Raises:
        ValueError: it is damaged.
    """
    path = _manifest_path(folder, stage)
    try:
        with open(path, encoding="utf-8") as file:
            values = json.load(file)
        records = {
            phase: {
                name: Record(
                    name,
                    record["key"],
                    {path: (size, digest) for path, (size, digest) in record["files"].items()},
                    record["counts"],
                )
                for name, record in of_phase.items()
            }
            for phase, of_phase in values["records"].items()
        }
        return Manifest(
            stage, values["settings"], bool(values["finished"]), values["facts"], records
        )
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(
            f"{path!r} is damaged: {error!r}. Remove it: the stage looks at its files and makes "
            "only what is not whole."
        ) from error


def _manifest_path(folder: str, stage: str) -> str:
    return os.path.join(folder, stage, "manifest.json")
