"""`starling ids`: what is said before anything is tried."""

from pathlib import Path

from click.testing import CliRunner

from infra.cli.main import main


def test_a_plot_that_has_no_folder_is_refused_before_ids_are_compared(tmp_path: Path) -> None:
    png = str(tmp_path / "none" / "ids.png")
    done = CliRunner().invoke(main, ["ids", "compare", "--png", png])
    assert (done.exit_code, done.stdout) == (2, "")
    assert "there is no folder" in done.stderr
