import subprocess
import sys
from pathlib import Path

from tests.support.requirements import REPOSITORY

COUNT = """
import sys
from pathlib import Path
from infra.process.shared_metrics import forget_ended_processes, join_metrics, metrics_renderer
from prometheus_client import Counter, Gauge
folder = Path(sys.argv[1])
name = join_metrics(folder, "api")
Counter("things", "", ["kind"]).labels("a").inc()
Gauge("level", "", ["kind"], multiprocess_mode="livesum").labels("a").set(5)
render = metrics_renderer(folder)
print(name)
if render:
    print(render().decode())
sys.stdout.flush()
sys.stdin.readline()
"""


def start(folder: Path) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-c", COUNT, str(folder)], cwd=REPOSITORY, text=True,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip


def finish(process: "subprocess.Popen[str]") -> tuple[str, str]:
    """Its output and errors."""
    return process.communicate("\n", timeout=30)


def test_processes_that_run_at_once_have_names_and_files_of_their_own(tmp_path: Path) -> None:
    first = start(tmp_path / "metrics")
    assert first.stdout is not None
    assert first.stdout.readline() == "api-1\n"
    while "level" not in first.stdout.readline():
        pass
    second, _ = finish(start(tmp_path / "metrics"))
    assert second.startswith("api-2\n")
    assert 'things_total{kind="a"} 2.0' in second
    assert 'level{kind="a"} 10.0' in second
    first.kill()
    first.communicate()
    third, _ = finish(start(tmp_path / "metrics"))
    assert third.startswith("api-1\n")
    assert 'things_total{kind="a"} 3.0' in third
    assert 'level{kind="a"} 5.0' in third


def test_the_files_are_allocated_and_readable_by_their_owner_alone(tmp_path: Path) -> None:
    finish(start(tmp_path / "metrics"))
    [file] = (tmp_path / "metrics").glob("counter_*.db")
    status = file.stat()
    assert status.st_blocks * 512 >= status.st_size > 0
    assert status.st_mode & 0o077 == 0
    assert (tmp_path / "metrics").stat().st_mode & 0o077 == 0


def test_a_process_without_a_data_folder_counts_in_memory_without_a_word(tmp_path: Path) -> None:
    output, errors = finish(start(tmp_path / "nowhere" / "metrics"))
    assert (output, errors) == ("api-1\n", "")


def test_a_process_that_can_make_no_files_says_so_and_counts_in_memory(tmp_path: Path) -> None:
    (tmp_path / "metrics").write_text("a file")
    output, errors = finish(start(tmp_path / "metrics"))
    assert output == "api-1\n"
    assert "left out of the common metrics" in errors


def test_a_server_that_starts_forgets_the_processes_that_ended_and_no_others(
    tmp_path: Path,
) -> None:
    from infra.process.shared_metrics import forget_ended_processes

    running = start(tmp_path / "metrics")
    assert running.stdout is not None
    running.stdout.readline()
    finish(start(tmp_path / "metrics"))
    forget_ended_processes(tmp_path / "metrics")
    left = {file.name for file in (tmp_path / "metrics").glob("counter_*.db")}
    finish(running)
    assert left == {"counter_api-1.db"}
