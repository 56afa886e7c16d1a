"""Which boot of the machine this is, for files that are whole only as long as it runs."""

from pathlib import Path


def read_boot_id() -> str:
    """Linux's id of this boot; empty where the system has none.

    Not psutil's time of the boot: that moves when the clock is set.
    """
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return ""
