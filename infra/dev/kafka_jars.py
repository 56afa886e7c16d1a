"""Apache Kafka's jars, fetched once by Maven into a folder that git ignores."""

import re
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Final

from infra.dev.local_engine import EngineMissing
from infra.process.file_locks import FileLock

POM: Final = Path(__file__).with_name("pom.xml")
JARS_FOLDER: Final = Path(__file__).resolve().parents[2] / ".engines"

_DOWNLOAD_SECONDS: Final = 600.0
_JAVA_VERSION: Final = 17


def find_java() -> str:
    """The `java` to run Kafka with. Raises `EngineMissing` where there is none of 17 or newer."""
    found = shutil.which("java")
    if found is None:
        raise EngineMissing(
            f"Kafka needs Java {_JAVA_VERSION} or newer; on Debian: apt-get install "
            f"openjdk-17-jre-headless"
        )
    said = subprocess.run([found, "-version"], capture_output=True, text=True, check=False).stderr
    version = re.search(r'version "(\d+)', said)
    if version is None or int(version[1]) < _JAVA_VERSION:
        raise EngineMissing(
            f"Kafka needs Java {_JAVA_VERSION} or newer, {found} says: {said.strip()}"
        )
    return found


def fetch_jars(folder: Path = JARS_FOLDER) -> Path:
    """The folder with the jars of the version that `pom.xml` names; downloads them at need.

    Two processes may call it at once: one downloads, the other waits. The folder appears whole
    or not at all. Takes half a minute the first time. Raises `EngineMissing`.
    """
    version = re.search(r"<artifactId>kafka_2\.13</artifactId>\s*<version>([\w.-]+)<", _read_pom())
    if version is None:
        raise EngineMissing(f"{POM} names no version of Kafka")
    jars = folder / f"kafka-{version[1]}"
    if jars.is_dir():
        return jars
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(folder / "lock", wait=True):
        if not jars.is_dir():
            _download_jars(jars)
    return jars


def _read_pom() -> str:
    return POM.read_text(encoding="utf-8")


def _download_jars(jars: Path) -> None:
    maven = shutil.which("mvn")
    if maven is None:
        raise EngineMissing("Kafka's jars come through Maven; on Debian: apt-get install maven")
    with tempfile.TemporaryDirectory(dir=jars.parent, prefix="kafka-download-") as half:
        command = [
            maven, "--batch-mode", "--quiet", "--file", str(POM), "dependency:copy-dependencies",
            "-DincludeScope=runtime", f"-DoutputDirectory={half}/jars",
        ]  # fmt: skip
        try:
            done = subprocess.run(
                command, capture_output=True, text=True, check=False, timeout=_DOWNLOAD_SECONDS
            )
        except subprocess.TimeoutExpired:
            raise EngineMissing(f"Maven did not bring Kafka in {_DOWNLOAD_SECONDS:.0f} s") from None
        if done.returncode:
            raise EngineMissing(f"Maven could not bring Kafka:\n{done.stdout}{done.stderr}")
        Path(half, "jars").rename(jars)
