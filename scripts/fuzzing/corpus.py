"""Whole files to start from: the project's own, and those of ../shared where it is there."""

from __future__ import annotations

from pathlib import Path

__all__ = ["Corpus"]

ROOT = Path(__file__).resolve().parents[2]
MOST = 60  # of one pattern


class Corpus:
    """Files by pattern, the smallest first, so that an input does not take long."""

    def __init__(self, *, shared: bool = True) -> None:
        self.roots = [ROOT / "models", ROOT / "tests"]
        if shared and (ROOT.parent / "shared").is_dir():
            self.roots.append(ROOT.parent / "shared")

    def files(self, pattern: str, largest: int) -> list[bytes]:
        """Contents of the files of a pattern, up to `largest` bytes each."""
        found: dict[bytes, None] = {}
        sizes = []
        for root in self.roots:
            for path in sorted(root.rglob(pattern)):
                if path.is_file() and 0 < path.stat().st_size <= largest:
                    sizes.append((path.stat().st_size, str(path)))
        for _, name in sorted(sizes)[: 4 * MOST : max(1, len(sizes) // MOST)]:
            found[Path(name).read_bytes()] = None
        return list(found)

    def logs(self) -> list[bytes]:
        return [
            content for pattern in ("*.log", "*.jsonl") for content in self.files(pattern, 20_000)
        ]
